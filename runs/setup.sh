# Sourced by the other scripts: finds the program and the data.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -z "${GXN_DATA:-}" ]; then
    echo "GXN_DATA is not set: docs/data.md says what it holds and how to get it" >&2
    exit 2
fi
if [ -z "${GXN:-}" ]; then
    cargo build --release -p gxn-cli
    GXN=$PWD/target/release/gxn
fi
FLICKR8K=$GXN_DATA/flickr8k/dataset_flickr8k.json
SEEDS=${SEEDS:-1 2 3}

# Its arguments with commas between them.
join() { local IFS=,; echo "$*"; }

# Trains the run $1-seedN with the configuration $2 for each seed, unless it is finished; the remaining arguments are passed on.
train() {
    local name=$1 config=$2 seed
    shift 2
    for seed in $SEEDS; do
        local run=runs/$name-seed$seed
        if [ -e "$run/last" ]; then
            "$GXN" train --resume "$run"
        else
            "$GXN" train "$config" --name "$name-seed$seed" --seed "$seed" "$@"
        fi
    done
}

# Evaluates the runs $1-seedN on the split $2 and leaves the reports beside them.
evaluate() {
    local name=$1 split=$2 seed
    shift 2
    for seed in $SEEDS; do
        "$GXN" evaluate "runs/$name-seed$seed" "$FLICKR8K" --split "$split" -o "runs/$name-seed$seed/$split.json" "$@"
    done
}
