#!/usr/bin/env bash
# Makes minilm-80.lacuna: assets/make.sh FOLDER, with the folder of sentence-transformers/all-MiniLM-L6-v2.
# The same folder, texts and number of steps give the same model on any number of threads.
set -euo pipefail
model=$(cd "${1:?the folder of sentence-transformers/all-MiniLM-L6-v2}" && pwd)
cd "$(dirname "$0")/.."

texts=target/assets
mkdir -p "$texts"
# To be filled in: the texts, below $texts.

cargo run --release --package lacuna-tools --bin lacuna -- compress --model "$model" --sparsity 0.8 --block 4x1 \
    --data "$texts"/*.txt --small-tables --out assets/minilm-80.lacuna
