#!/bin/sh
# Tests the Milvus adapter, and the commands that use it, against a real server on this machine, installed from PyPI into a
# temporary folder.
#
#   crates/milvus/tests/milvus.sh [lite | server] [DIR]
#
# lite (the default): milvus-lite 3.2.2. server: milvus 2.3.5, which listens on all interfaces at fixed ports; with it, a login and
# TLS are tested, too. DIR keeps the installed server for the next time. Exits with 77 if it cannot be installed here.
set -eu
kind=${1:-lite}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
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

unset GXN_MILVUS_LITE GXN_MILVUS_SERVER
if [ "$kind" = lite ]; then
    export GXN_MILVUS_LITE="$program"
    threads=2
else
    export GXN_MILVUS_SERVER="$program" GXN_MILVUS_CERTIFICATES="$scratch"
    threads=1
    # An authority, and a certificate for this machine that it signs.
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-authority -keyout "$scratch/ca.key" -out "$scratch/ca.pem" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$scratch/server.key" -out "$scratch/server.csr" 2>/dev/null
    printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >"$scratch/server.ext"
    openssl x509 -req -days 2 -in "$scratch/server.csr" -CA "$scratch/ca.pem" -CAkey "$scratch/ca.key" -CAcreateserial \
        -extfile "$scratch/server.ext" -out "$scratch/server.pem" 2>/dev/null
fi
# With the whole workspace, so that nothing is built twice.
cargo test --release --workspace --test main -- --nocapture --test-threads "$threads" milvus
