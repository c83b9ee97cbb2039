#!/bin/sh
# setup-peers.sh FOLDER [NAME...]: the environments that bench/peers.py looks for. Wants
# wrk on PATH too (Debian and Ubuntu: apt install wrk).
set -eu
folder=${1:?a folder for the environments}
shift
names=${*:-mlserver kserve litserve bentoml pytriton2}
runtime=onnxruntime==1.32.0

make_environment() { # python, name, packages
    python=$1 name=$2
    shift 2
    [ -x "$folder/$name/bin/python" ] || "$python" -m venv "$folder/$name"
    "$folder/$name/bin/python" -m pip install --quiet "$runtime" "$@"
}

for name in $names; do
    case $name in
    # Its parallel workers die at start with a later uvloop.
    mlserver) make_environment python3 mlserver mlserver==1.7.1 orjson httptools uvloop==0.21.0 ;;
    kserve) make_environment python3 kserve kserve==0.21.0 orjson ;;
    litserve) make_environment python3 litserve litserve==0.2.19 orjson ;;
    bentoml) make_environment python3 bentoml bentoml==1.4.39 uvloop httptools ;;
    # Its stub wants the standard library of Debian's own Python 3.11.
    pytriton2) make_environment /usr/bin/python3.11 pytriton2 nvidia-pytriton==0.7.0 ;;
    *) echo "no such environment: $name" >&2; exit 2 ;;
    esac
done
