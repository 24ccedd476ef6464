# docker build -t video-generation:1.0 .
# docker run -it --gpus all --ipc=host -v "$PWD/data:/video-generation/data" video-generation:1.0    (docs/options.md: as any user)

# The base image brings the CUDA runtime alone: PyTorch's wheels bring the libraries of the same CUDA version.
FROM nvidia/cuda:13.0.2-base-ubuntu24.04

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ffmpeg fonts-dejavu-core g++ python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/venv/bin:$PATH
COPY requirements.lock /opt/
RUN python3 -m venv /opt/venv \
    && pip install --no-cache-dir --disable-pip-version-check -r /opt/requirements.lock

# Any user may run it (docker run --user "$(id -u):$(id -g)"): a home and a name that need no entry in /etc/passwd.
WORKDIR /video-generation
RUN chmod 1777 .
ENV HOME=/video-generation USER=ubuntu
COPY . .
USER ubuntu
