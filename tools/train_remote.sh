#!/usr/bin/env bash
# The far side of a training on a machine that is lent for a while; tools/train_remote.py plans its calls.
#   take FOLDER                              keep what a call brought: data, wheels, a model to start from
#   trial RECIPE MINUTES [OPTIONS]           go once through all that a training does, on the noise
#   train RECIPE MINUTES STOP_AFTER [...]    begin or go on, and leave log and averaged weights in $OUT
# Everything is kept in $CODEC_WORK, outside of the checkout, which each call replaces.
set -euo pipefail
work=${CODEC_WORK:-${HOME:-/root}/codec_work}
export PYTHONPATH="$work/site:$PWD" PYTHONUNBUFFERED=1

take() {
    mkdir -p "$work"
    cp -r "$1/." "$work/"
    rm -r "$1"
    if [ -d "$work/wheels" ]; then
        python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
            --target "$work/site" "$work"/wheels/*.whl
        rm -r "$work/wheels"
        python3 -c 'import lightning, soundfile, torch; print(torch.__version__, torch.cuda.is_available())'
    fi
    du -sh "$work"
}

# fit RUN RECIPE DATA [OPTIONS]: goes on where RUN holds a state, else starts, from the model that came along if any.
fit() {
    run=$1 recipe=$2 data=$3
    shift 3
    begin=()
    if [ -e "$run/last.ckpt" ]; then
        begin=(--resume)
    elif [ -d "$work/model" ]; then
        begin=(--init-from "$work/model")
    fi
    python3 -m codec.training "$recipe" --data "$data" --noise "$work/noise" --valid "$work/valid" --run "$run" \
        "${begin[@]}" "$@" 2>&1
}

trial() {
    recipe=$1 minutes=$2
    shift 2
    rm -rf "$work/trial"
    fit "$work/trial" "$recipe" "$work/noise" --minutes "$minutes" --stop-after 0 "$@"
    fit "$work/trial" "$recipe" "$work/noise" --minutes "$minutes" "$@"
    python3 tools/export_checkpoint.py "$work/trial/last.ckpt" "$work/trial/model" --part-mb 15
}

train() {
    recipe=$1 minutes=$2 stop_after=$3
    shift 3
    fit "$work/run" "$recipe" "$work/train" --minutes "$minutes" --stop-after "$stop_after" "$@" |
        tee "$OUT/train.log"
    python3 tools/export_checkpoint.py "$work/run/last.ckpt" "$OUT/model" --part-mb 15
}

"$@"
