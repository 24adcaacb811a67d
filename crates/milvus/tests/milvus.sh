#!/bin/sh
# Tests the Milvus adapter against a real server on this machine, installed from PyPI into a temporary folder.
#
#   crates/milvus/tests/milvus.sh [lite | server] [DIR]
#
# lite (the default): milvus-lite 3.2.2. server: milvus 2.3.5, which listens on all interfaces at fixed ports.
# DIR keeps the installed server for the next time. Exits with 77 if it cannot be installed here.
set -eu
kind=${1:-lite}
scratch=$(mktemp -d)
pid=
stop() {
    if [ -n "$pid" ]; then
        # The server is a child of the one that was started, and outlives it; asked kindly it takes half a minute.
        # shellcheck disable=SC2046
        kill -9 $(pgrep -P "$pid") "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap stop EXIT
trap 'exit 1' INT TERM
env=${2:-$scratch}/milvus-$kind
cd "$(dirname "$0")/../../.."

case $kind in
lite) packages="milvus-lite==3.2.2 pymilvus==3.0.2" program=$env/bin/milvus-lite ;;
server) packages="milvus==2.3.5" program=$env/bin/milvus-server ;;
*) echo "error: found $kind, expected lite or server" >&2; exit 2 ;;
esac
if [ ! -x "$program" ]; then
    # shellcheck disable=SC2086
    if ! { python3 -m venv "$env" && "$env/bin/pip" install --quiet --disable-pip-version-check $packages; }; then
        echo "cannot install $packages" >&2
        exit 77
    fi
fi

unset GXN_MILVUS_LITE GXN_MILVUS_ENDPOINT
if [ "$kind" = lite ]; then
    export GXN_MILVUS_LITE="$program"
else
    "$program" --data "$scratch/data" --proxy-port "${PORT:-19530}" >"$scratch/log" 2>&1 &
    pid=$!
    export GXN_MILVUS_ENDPOINT="http://127.0.0.1:${PORT:-19530}"
fi
# With the whole workspace, so that nothing is built twice.
cargo test --release --workspace --test main -- --nocapture milvus::
