#!/usr/bin/env bash
# Makes minilm-80.lacuna: assets/make.sh FOLDER, with the folder of sentence-transformers/all-MiniLM-L6-v2.
# The texts come from package registries, see texts/fetch.sh. The same folder and texts give the same model, on any number of threads.
set -euo pipefail
model=$(cd "${1:?the folder of sentence-transformers/all-MiniLM-L6-v2}" && pwd)
cd "$(dirname "$0")/.."

texts=target/assets
assets/texts/fetch.sh "$texts"
cargo run --release --package lacuna-tools --bin lacuna -- compress --model "$model" --sparsity 0.8 --rounding never \
    --data "$texts"/{glosses,made-captions,made-headlines,made-questions,prose}.txt --steps 3000 --batch 64 \
    --small-tables --out assets/minilm-80.lacuna
