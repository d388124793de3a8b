#!/usr/bin/env python3
"""Draws attention and credit of one head, early and late in training, from a run's attention log: the picture in the README.

    python3 docs/images/attention.py runs/whale docs/images/attention.png

Needs python3-xarray, python3-dask, python3-netcdf4 (or h5netcdf) and python3-matplotlib. The head is the one whose entropy falls most between the two steps.
"""
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import xarray


def main(run, picture, tokens=40):
    log = xarray.open_mfdataset(f"{run}/attention/step-*.h5")
    steps = [int(log.step[1]), int(log.step[-1])]
    sharpened = (log.entropy.sel(step=steps[0]) - log.entropy.sel(step=steps[1])).compute()
    layer, head = (int(i) for i in divmod(int(sharpened.argmax()), log.sizes["head"]))
    view = log.sel(layer=layer, head=head, probe=0).isel(query=slice(tokens), key=slice(tokens))
    text = [t.replace("\n", "↵").replace(" ", "·") for t in view.token_text.values.ravel()[:tokens]]

    figure, axes = plt.subplots(2, 2, figsize=(11, 11.4), constrained_layout=True)
    for row, step in enumerate(steps):
        now = view.sel(step=step)
        credit = now.credit
        largest = float(abs(credit).max())
        panels = [(now.attention, "attention", dict(cmap="viridis", vmin=0, vmax=1)),
                  (credit, "credit", dict(cmap="RdBu", vmin=-largest, vmax=largest))]
        for axis, (values, name, style) in zip(axes[row], panels):
            image = axis.imshow(values.values, **style)
            axis.set_title(f"{name}, step {step}, layer {layer}, head {head}")
            axis.set_xlabel("key: the position looked at")
            axis.set_ylabel("query: the position that looks")
            axis.set_xticks(range(tokens), text, fontsize=7)
            axis.set_yticks(range(tokens), text, fontsize=7)
            figure.colorbar(image, ax=axis, shrink=0.7)
    figure.savefig(picture, dpi=80)


if __name__ == "__main__":
    main(*sys.argv[1:3])
