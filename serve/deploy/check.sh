#!/usr/bin/env bash
# Checks the files of this folder as far as this machine can, and says what it skips.
#
#   python3 -m venv venv && venv/bin/pip install -r requirements.txt
#   PYTHON=venv/bin/python ./check.sh [the built command]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}
lacuna=${1:-}
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

passed() { printf 'passed: %s\n' "$*"; }
skipped() { printf 'skipped: %s\n' "$*"; }
failed() { printf 'failed: %s\n' "$*" >&2; exit 1; }

# ---- The unit of systemd

if command -v systemd-analyze >/dev/null; then
    # The program need not be installed here, so that its manual page is not, either.
    sed -e 's#/usr/local/bin/lacuna#/bin/true#' -e '/^Documentation=man:/d' "$here/lacuna.service" >"$work/lacuna.service"
    complaints=$(systemd-analyze verify --man=no "$work/lacuna.service" 2>&1) || failed "systemd-analyze verify: $complaints"
    [ -z "$complaints" ] || failed "systemd-analyze verify: $complaints"
    # In tenths: 20 is 2.0, on a scale from 0 to 10 where less is better.
    security=$(systemd-analyze security --offline=true --threshold=20 --no-pager "$work/lacuna.service") || failed "systemd-analyze security: $security"
    passed "lacuna.service: $(tail -n 1 <<<"$security" | sed 's/.*exposure/exposure/')"
else
    skipped "lacuna.service; systemd-analyze is not here"
fi

# ---- The objects of Kubernetes and KServe

if "$python" -c 'import kubernetes_validate' 2>/dev/null; then
    "$python" -m kubernetes_validate --strict --quiet "$here/kubernetes.yaml" || failed "kubernetes.yaml"
    passed "kubernetes.yaml, by the schemas of kubernetes-validate"
else
    skipped "schemas of kubernetes.yaml; the Python package kubernetes-validate is not here"
fi
if command -v kubeconform >/dev/null; then
    kubeconform -strict "$here/kubernetes.yaml" || failed "kubernetes.yaml"
    passed "kubernetes.yaml, by kubeconform"
else
    skipped "kubernetes.yaml by kubeconform; it is not here"
fi
if "$python" -c 'import kserve, kubernetes, yaml' 2>/dev/null; then
    "$python" "$here/kserve_fields.py" "$here/kserve.yaml" || failed "kserve.yaml"
    passed "kserve.yaml, by the classes of the Python package kserve"
else
    skipped "fields of kserve.yaml; the Python package kserve is not here"
fi

# ---- The image

if docker info >/dev/null 2>&1; then
    docker build --quiet --file "$here/Dockerfile" --tag lacuna:check "$root" >"$work/image" || failed "Dockerfile"
    passed "Dockerfile: $(docker image inspect --format '{{.Size}}' "$(cat "$work/image")") bytes"
else
    skipped "Dockerfile; no daemon of docker answers here"
fi

# ---- The options, by the command itself: it is started as each file starts it, but on a free port

start() { # what is started, options
    local what=$1
    shift
    "$lacuna" serve "${@/#--port=8080/--port=0}" --host=127.0.0.1 2>"$work/log" &
    server=$!
    for _ in $(seq 300); do
        url=$(sed -nE 's#.*listening on (http://[^ ,]+),.*#\1#p' "$work/log")
        [ -z "$url" ] || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    failed "$what: $(cat "$work/log")"
}
status() { curl --silent --output /dev/null --write-out '%{http_code}' "$@"; }
expect() { [ "$2" = "$3" ] || failed "$1: found $2; expected $3"; }
end() {
    kill -TERM "$server"
    wait "$server" || failed "$1 ends with status $?"
    server=
}
args() { # of the container of a file, without the address, which `start` sets
    sed -nE 's/^ +- (--.*)$/\1/p' "$here/$1" | grep -v '^--host='
}

if [ -n "$lacuna" ] && command -v curl >/dev/null; then
    mapfile -t options < <(args kubernetes.yaml)
    LACUNA_API_KEY=secret start kubernetes.yaml "${options[@]}"
    expect "/health of kubernetes.yaml" "$(status "$url/health")" 200
    expect "/info without the key" "$(status "$url/info")" 401
    expect "/info with the key" "$(status --header 'authorization: Bearer secret' "$url/info")" 200
    kill -HUP "$server" # as `systemctl reload` does
    sleep 1
    expect "/health after HUP" "$(status "$url/health")" 200
    kill -TERM "$server"
    sleep 0.5
    expect "/health after TERM" "$(status "$url/health")" 503
    expect "/info while --drain-notice runs" "$(status --header 'authorization: Bearer secret' "$url/info")" 200
    wait "$server" || failed "kubernetes.yaml: the server ends with status $?"
    server=
    passed "options of kubernetes.yaml: probes, key, HUP, TERM"

    cp "$root/assets/minilm-80.lacuna" "$work/model.lacuna"
    # shellcheck disable=SC2016 # the variable is Kubernetes'
    mapfile -t options < <(args kserve.yaml | sed -e "s#/mnt/models#$work#" -e 's/{{.Name}}/minilm/' -e 's/\$(LACUNA_FILE)/model.lacuna/' -e 's/drain-notice=.*/drain-notice=0/')
    start kserve.yaml "${options[@]}"
    for path in /v2/health/ready /v2/health/live /v2/models/minilm/ready; do
        expect "$path of kserve.yaml" "$(status "$url$path")" 200
    done
    end kserve.yaml
    passed "options of kserve.yaml: probes, name of the model"

    LACUNA_OPTIONS=$(sed -n 's/^LACUNA_OPTIONS=//p' "$here/serve.env")
    read -ra options <<<"${LACUNA_OPTIONS/--host 127.0.0.1 /}"
    start serve.env "${options[@]/#8080/0}"
    end serve.env
    passed "options of serve.env"
else
    skipped "options of the files; name the built command to check them, and have curl"
fi
