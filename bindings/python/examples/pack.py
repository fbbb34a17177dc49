"""Prune, calibrate and pack a model directory into one file: python pack.py DIRECTORY FILE."""

import sys

import lacuna


def main() -> None:
    directory, file = sys.argv[1:]
    model = lacuna.Model.open(directory).prune("4x1", 0.8)  # without prune() the zeros that the model has are used
    calibrated = model.calibrate()  # better: about 200 texts of the kind that the model will see
    print(f"{calibrated.pack().write(file)} bytes")
    print(lacuna.SentenceTransformer(file).load_report())


if __name__ == "__main__":
    main()
