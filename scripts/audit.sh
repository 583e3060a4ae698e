#!/usr/bin/env bash
# Check the packages of the lock files for known vulnerabilities, by pip-audit: `make audit`. Needs internet.
set -uo pipefail
cd "$(dirname "$0")/.."

output=$(.venv/bin/pip-audit --disable-pip --require-hashes --progress-spinner off --timeout 30 --desc off \
    -r requirements-setup.lock -r requirements.lock -r requirements-dev.lock 2>&1)
status=$?
if [ $status -ne 0 ] && ! grep -q '^Name ' <<<"$output" && grep -qiE 'connect|resolve|timed? ?out|proxy|temporary failure' <<<"$output"; then
    echo "audit.sh: error: the list of known vulnerabilities cannot be reached; make audit needs internet (pypi.org)" >&2
    exit 1
fi
echo "$output"
if unchecked=$(grep -c 'could not be audited' <<<"$output"); then
    echo "audit.sh: error: $unchecked packages could not be checked, as listed above" >&2
    exit 1
fi
exit $status
