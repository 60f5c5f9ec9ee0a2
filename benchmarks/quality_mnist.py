"""Every MNIST recipe over several seeds, as a Markdown table for docs/results/mnist.md.

    MNIST_NPZ=mnist.npz python benchmarks/quality_mnist.py > docs/results/mnist.md     five hours on two cores

Each row is made of runs in runs/quality_mnist/: finished ones, whose numbers are then also in
docs/results/runs/quality_mnist/, are not run again, and interrupted ones resume.
With the package ray as many are made at the same time as there are cores.
"""

from pathlib import Path

import baselines_mnist
import pages
from scipy import stats
from study import about_runs, minutes, row, runs_of, spread

from experiments import mnist_dcgan, mnist_mlp

SEEDS, SEEDS_OF_STABLE = range(3), range(5)
RECIPES = [(script, name, []) for script in (mnist_mlp, mnist_dcgan) for name in script.RECIPES]
RECIPES += [(script, "stable", ["--categories", "0"]) for script in (mnist_mlp, mnist_dcgan)]
RECIPES += [(mnist_dcgan, name, ["--precision", "bfloat16"]) for name in mnist_dcgan.RECIPES]
COLUMNS = {  # heading: key, digits
    "Parzen, nats": ("parzen", 1),
    "label KL": ("label_kl", 4),
    "digits": ("digits", 0),
    "confident": ("confident_share", 3),
    "Frechet digit distance": ("frechet_digit_distance", 2),
    "pixel KL": ("pixel_kl", 4),
    "precision": ("precision", 3),
    "recall": ("recall", 3),
}
HEAD = f"""# MNIST results

`python benchmarks/quality_mnist.py`: {len(SEEDS_OF_STABLE)} seeds of the recipes `stable` as they are,
{len(SEEDS)} of the others, mean +- standard deviation over seeds. 10,000 fakes are compared with the 10,000 test
images. The last rows are methods without a GAN (`benchmarks/baselines_mnist.py`), one seed each, and what 10,000 real
training images score in place of the fakes. [numbers.md](../numbers.md) explains the numbers; "confident" is the
share of the fakes in which the digit classifier sees one digit with a probability of 90% or more. Minutes are
processor time, evaluation included, of the seed that took the least; the server was shared and had no GPU.
"""
FOOT = """
Methods without a GAN learn from the first 50,000 training images: the Gaussian has the mean and the covariance of all
pixels; the KDE is training images with normal noise, as wide as the Parzen window that fits validation images best;
and all centres of 10,000 k-means clusters stand for as many images. Pixels are clipped to [0, 1]. The centres have
a better Parzen log-likelihood than real images and every GAN, as Theis et al. 2016 showed, though they are blurred.

About half of the Frechet digit distance of real training images is a shift: MNIST's test images differ a little from
its training images. The distance between 10,000 training images and 10,000 others is
{train:.2f}.

With `--categories 0` z is normal throughout. In the recipes `stable` it begins with one of ten categories. Nobody
tells G what they should mean, and yet most categories become a digit. The share of the fakes that are the most
frequent digit of their category is {purity}.

{bfloat16} Where a processor has AMX, a step in bfloat16 takes two
thirds of the time ([times](speed.md)).

Nothing was tuned on these seeds. But the settings of the recipes were chosen, with other seeds, by scores on the same
test images, so that these scores may be a little too good.

Published Parzen log-likelihoods on MNIST, by the same protocol (10,000 samples, window chosen on validation images,
mean over the test set; their +- is the standard error over test images, ours the deviation over seeds; `dnn`, `raw`
and `classic` also train on the images that choose the window): adversarial nets 225 +- 2, deep GSN 214 +- 1.1, DBN
138 +- 2, stacked CAE 121 +- 1.6 (Goodfellow et al. 2014, table 1). Theis et al. 2016 advise against ranking models by
this number, because it rewards smooth pictures.

Recipe `dnn` has the tutorial's network and settings, and they do not learn: the fakes are noise in two or three
shapes. The Frechet digit distance is measured in the features of this project's digit classifier, and so it cannot
be compared with Inception distances. Precision says little where the fakes have collapsed: a few points can all
lie within the largest ball around a real image.
"""


def of_precision(found: dict[str, list[dict]]) -> str:
    """A sentence about the rows in bfloat16: the smallest p-value of their differences from those in float32.

    A column that is the same in every seed of both rows is not tested.
    """
    half, p_values = " --precision bfloat16", []
    for name in found:
        if name.endswith(half):
            for key, _ in COLUMNS.values():
                ours, theirs = ([r[key] for r in found[row]] for row in (name, name.removesuffix(half)))
                if len({*ours, *theirs}) > 1:
                    p_values.append(stats.ttest_ind(ours, theirs, equal_var=False).pvalue)
    return (
        f"In bfloat16, beside float32: of {len(p_values)} Welch's t-tests, one for each recipe and column, the "
        f"smallest\np-value is {min(p_values):.2g}; with so many tests only one below "
        f"{0.05 / len(p_values):.4f} would show a difference."
    )


def main() -> None:
    made = pages.line(__file__)
    print(HEAD)
    purity, results = {}, {}
    print(row("script, recipe", "steps", *COLUMNS, "minutes"))
    print(row(*["---"] * (len(COLUMNS) + 3)))
    for module, recipe, flags in RECIPES:
        study = "-".join(["quality_mnist", *(word.strip("-") for word in flags)])
        script, as_it_is = Path(module.__file__).stem, recipe == "stable" and not flags
        found = runs_of(study, module, SEEDS_OF_STABLE if as_it_is else SEEDS, recipe, flags)
        if as_it_is:
            purity[script] = spread([r["purity"] for r in found], 3)
        numbers = [spread([r[key] for r in found], digits) for key, digits in COLUMNS.values()]
        results[name := " ".join([script, recipe, *flags])] = found
        print(row(f"`{name}`", found[0]["steps"], *numbers, minutes(found)), flush=True)
    for label, method in baselines_mnist.METHODS.items():
        scores = baselines_mnist.result(method)
        numbers = [spread([scores[key]], digits) for key, digits in COLUMNS.values()]
        print(row(label, "", *numbers, minutes([scores]) if method is not baselines_mnist.real else ""))
    real = baselines_mnist.result(baselines_mnist.real)
    words = ", ".join(f"{share} in `{script}`" for script, share in purity.items())
    train = real["frechet_digit_distance_floor_train"]
    print(FOOT.format(train=train, purity=words, bfloat16=of_precision(results)))
    print(about_runs(), made, sep="\n")


if __name__ == "__main__":
    main()
