#!/usr/bin/env bash
# Makes the Tennis data set from two public matches: downloads them, cuts out the annotated clips and splits them.
set -euo pipefail

usage() {
    cat <<'END'
usage: ./get_tennis_dataset.sh [--annotations URL_OR_FOLDER] [OPTION ...] [OUTPUT_DIRECTORY]

Make the Tennis data set in OUTPUT_DIRECTORY (default: data/tennis_v4_256_ours) as train, val and test. Each step keeps
what it finds done, so the same command completes what was interrupted. Matches, segments and clips stay in
OUTPUT_DIRECTORY_work, which can be removed afterwards.

  --annotations URL_OR_FOLDER  where annotations.csv and splits.csv are, which the authors of the data set publish with
                               their code: a folder, or the URL that the files' names are added to (raw files, not
                               pages that show them); not needed once they are in OUTPUT_DIRECTORY_work/annotations
  --match NAME=URL             a video to use instead of the two matches; may be given several times
  --format FORMAT              which of the pictures that the site offers, as yt-dlp writes it
  --segment_seconds S          length of the segments that the annotations count frames in (default: 3600)
  --target_size W H            size of the frames (default: 256 96)
  --help                       show this

A match that cannot be downloaded can be put into OUTPUT_DIRECTORY_work/matches by hand, as
djokovic_federer_wimbledon.mp4 or nadal_kyrgios_wimbledon.mp4. PYTHON=... names another Python.

example:
  ./get_tennis_dataset.sh --annotations ~/Downloads/tennis_annotations
END
}

refuse() {
    echo "error: $1; see --help" >&2
    exit 2
}

output=""
download=()
split=()
convert=()
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) usage && exit ;;
        --annotations | --match | --format) [ $# -ge 2 ] || refuse "$1 needs a value" && download+=("$1" "$2") && shift 2 ;;
        --segment_seconds) [ $# -ge 2 ] || refuse "$1 needs a value" && split+=("$1" "$2") && shift 2 ;;
        --target_size) [ $# -ge 3 ] || refuse "$1 needs two values" && convert+=("$1" "$2" "$3") && shift 3 ;;
        -*) refuse "unknown option $1" ;;
        *) [ -z "$output" ] || refuse "more than one OUTPUT_DIRECTORY: $output and $1" && output=$1 && shift ;;
    esac
done
output=${output:-data/tennis_v4_256_ours}
work=${output%/}_work

here=$(cd -- "$(dirname -- "$0")" && pwd)
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    [ ! -x "$here/.venv/bin/python" ] || PYTHON=$here/.venv/bin/python
fi

run() {
    echo "== $1"
    PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} "$PYTHON" -m "dataset.acquisition.tennis.$1" "${@:2}"
}

run download --output_directory "$work" ${download[@]+"${download[@]}"}
run split_and_resize_video --video_directory "$work/matches" --output_directory "$work/segments" ${split[@]+"${split[@]}"}
run convert_annotated_video_directory --video_directory "$work/segments" \
    --annotations "$work/annotations/annotations.csv" --output_directory "$work/clips" ${convert[@]+"${convert[@]}"}
run train_val_test_split --video_directory "$work/clips" --splits "$work/annotations/splits.csv" \
    --output_directory "$work/splits"
run subsample_videos_and_make_fixed_length --data_root "$work/splits" --output_directory "$output"
