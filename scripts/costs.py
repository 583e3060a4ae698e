"""Print what every network costs, counted, beside what the paper prints.

python scripts/costs.py [--size t|b|micro] [--json]      # some 10 seconds
"""

import argparse
import json

from tabulate import tabulate

from modernet.analysis import paper
from modernet.models.flops import cost, networks
from modernet.config.roadmap import sizes

SLIP = 0.0051  # GMACs: more than rounding to the two printed decimals explains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sizes(), default="t")
    parser.add_argument("--json", action="store_true", help="a list of objects instead of a table")
    arguments = parser.parse_args()

    printed = paper.rows(arguments.size)
    rows, notes = [], []
    for step, spec in networks(arguments.size).items():
        counted, row = cost(spec), printed.get(step)
        of_paper = row.gmacs_printed if row else None
        rows.append(
            {
                "step": step,
                "params": counted.params,
                "gmacs": round(counted.gmacs, 3),
                "paper_gmacs": of_paper,
                "paper_top1": row.top1 if row else None,
            }
        )
        if row and of_paper and abs(of_paper - counted.gmacs) > SLIP:
            notes.append(f"* {step}: {row.note}")

    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    marked = {note.split()[1].rstrip(":") for note in notes}
    cells = [
        [
            row["step"],
            f"{row['params']:,}",
            f"{row['gmacs']:.3f}",
            "" if row["paper_gmacs"] is None else f"{row['paper_gmacs']:.2f}" + " *" * (row["step"] in marked),
            "" if row["paper_top1"] is None else f"{row['paper_top1']:.2f}",
        ]
        for row in rows
    ]
    headers = ["step", "parameters", "GMACs", "paper's GMACs", "paper's top-1 (%)"]
    print(tabulate(cells, headers, tablefmt="github", colalign=("left", *["right"] * 4), disable_numparse=True))
    print("\nGMACs: convolutions and linear layers of one 224 x 224 image, 1,000 classes.", *notes, sep="\n")


if __name__ == "__main__":
    main()
