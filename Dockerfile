# docker build -t video-generation:1.0 .    (for CPUs alone: docker build --build-arg DEVICE=cpu -t video-generation:1.0-cpu .)
# docker run -it --gpus all --ipc=host -v "$PWD/data:/video-generation/data" video-generation:1.0    (docs/options.md: as any user)

ARG DEVICE=gpu

# This image brings the CUDA runtime alone: PyTorch's wheels bring the libraries of the same CUDA version.
FROM nvidia/cuda:13.0.2-base-ubuntu24.04 AS gpu

FROM ubuntu:24.04 AS cpu
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

FROM ${DEVICE}
ARG DEVICE

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ffmpeg fonts-dejavu-core g++ python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/venv/bin:$PATH
COPY requirements.lock /opt/
RUN if [ "$DEVICE" = cpu ]; then sed -i -E '/^(cuda|nvidia|triton)/d' /opt/requirements.lock; fi
RUN python3 -m venv /opt/venv \
    && pip install --no-cache-dir --disable-pip-version-check -r /opt/requirements.lock

# Any user may run it (docker run --user "$(id -u):$(id -g)"): a home and a name that need no entry in /etc/passwd.
WORKDIR /video-generation
RUN chmod 1777 .
ENV HOME=/video-generation USER=ubuntu
COPY . .
USER ubuntu
