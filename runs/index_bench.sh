#!/usr/bin/env bash
# docs/results.md, "Index and search": the search engines side by side, single operations, the scan against a plain read.
# Needs `pip install numpy faiss-cpu turbovec`, not GXN_DATA. ROWS="10000 100000" (default) takes minutes; add 1000000 for the
# whole table: longer, 16 GiB of memory and about 30 GB of disk. PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release -p gxn-index --examples
read -ra rows <<<"${ROWS:-10000 100000}"
"${PYTHON:-python3}" benches/index_peers.py --rows "${rows[@]}"
largest=${rows[-1]}
cargo run --release -p gxn-index --example bench_index -- --rows "$largest"
cargo run --release -p gxn-index --example bench_scan -- "$largest"
