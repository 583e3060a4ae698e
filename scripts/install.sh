#!/bin/sh
# Install locked packages into .venv; `make` calls this script.
#
#   scripts/install.sh default    # what training, tables and reports need
#   scripts/install.sh cpu        # the same with the CPU build of torch, without the CUDA libraries
#   scripts/install.sh dev        # on top: what tests and linters need
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin

# An environment with the other build of torch is replaced.
case ${1:-} in
default)
    [ ! -e .venv/installed-cpu ] || rm -rf .venv
    echo "Installing into .venv; the first time downloads about 3 GB (TORCH=cpu: about 0.6 GB)."
    ;;
cpu)
    [ -e .venv/installed-cpu ] || rm -rf .venv
    echo "Installing into .venv with the CPU build of torch; the first time downloads about 0.6 GB."
    ;;
dev)
    echo "Installing the tools of developers into .venv; the first time downloads about 0.2 GB."
    ;;
*)
    echo "install.sh: error: allowed: default, cpu, dev" >&2
    exit 2
    ;;
esac

if [ ! -x $bin/uv ] || [ requirements-setup.lock -nt $bin/uv ]; then
    python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else
"modernet needs Python 3.11 or newer, this is %d.%d: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
    [ -x $bin/pip ] || "$python" -m venv .venv
    $bin/pip install --quiet --require-hashes --requirement requirements-setup.lock
    touch $bin/uv
fi

# uv is three times as fast as pip, but does not read pip's configuration: pass on the index and the certificates.
pip_setting() { $bin/pip config list | sed -n "s/^.*[.]$1='\(.*\)'$/\1/p" | head -n 1; }
export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$(pip_setting index-url)}"
export SSL_CERT_FILE="${SSL_CERT_FILE:-$(pip_setting cert)}"

# The locks name every package, so nothing has to be resolved.
# Where Python may not write bytecode, as in many containers, each process would compile all that it imports.
[ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || export UV_COMPILE_BYTECODE=1
install() { $bin/uv pip install --quiet --python $bin/python --no-deps "$@"; }

lock=requirements.lock
case $1 in
dev) lock=requirements-dev.lock ;;
cpu)
    # The lock has the hashes of the default build only: the CPU build comes by version, from the index that uv knows.
    # shellcheck disable=SC2046  # two words
    if install --torch-backend=cpu $(sed -nE 's/^(torch|torchvision)(==[^ ]+).*/\1\2/p' $lock) 2>.venv/torch-cpu.log; then
        awk '/^[a-z]/ {cuda = /^(torch|torchvision|triton|cuda-.*|nvidia-.*)==/} !cuda' $lock >.venv/requirements-cpu.lock
        lock=.venv/requirements-cpu.lock
    else
        echo "The CPU build of torch cannot be downloaded here (.venv/torch-cpu.log says why): the default build follows, about 3 GB."
    fi
    ;;
esac
install --require-hashes --requirement $lock
[ "$1" = dev ] || install --no-build-isolation --editable .
