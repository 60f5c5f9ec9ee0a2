"""All times as one page: runs the speed_*.py programs one after the other, as Markdown for docs/results/speed.md.

    python benchmarks/speed.py > docs/results/speed.md             more than an hour on two cores
    python benchmarks/speed.py --only speed_numpy_gan.py           one section, or several

It needs chromium for the live page and the package ray for the workers of compare.py. jax and torch are worth
installing: where they are missing, the tables say that a contender was skipped. The texts below the tables hold
numbers that no program prints; check them whenever the tables change.
"""

import argparse
import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path

import pages
from browser import CHROMIUM

HEAD = """# Times

Each table was made by the command above it, all in one run on a shared server without a GPU. In the tables with a
column "spread" every contender runs in a process of its own. They take turns, three times over (in the plane twice),
and the tables hold medians and ranges, because absolute times swing on a shared machine. Times of whole commands are
medians of three runs; how the cost grows was measured once. The numbers in the texts below the tables were measured
by hand, on two cores of an Intel Xeon with AVX-512 and AMX, at commit af00cfb.
"""
SECTIONS = {  # program and flags -> its part of the page
    "speed_commands.py": """
## What a user waits for

{command}: whole commands from Enter to the prompt. Processor seconds are those of all
threads. "The first time" is with an empty cache folder; later runs load the compiled programs that were kept there
([runs.md](../runs.md)). The memory includes 470 to 620 MB of TensorFlow's program files, as Linux happens to map
them.

{table}

Of the 7.6 to 7.8 s of `normal_1d.py` .7 s go into Python and its packages, 1.2 s into TensorFlow, 1.1 s into tracing
and loading the programs, 2.3 s into training, .7 s into evaluations, 1.4 s into pictures, and .3 s into the rest.
""",
    "speed_live.py": """
## The live page

{command}: `live.py` on the ring with ten seeds, in a headless chromium on the same two
cores, between two runs of `mixture_2d.py` with the same settings and no page.

{table}
""",
    "speed_normal_1d.py": """
## The tutorial's 1-D system

{command}: the networks of the tutorial, beside what users would use instead. A step is one
update of D and one of G, with drawing random numbers and choosing batches, without imports and compilation. Ours
draws 16-bit random numbers and minibatches of shuffled epochs; the others draw 32-bit floats, and batches with
replacement. "As typed" is the training time in the result of `normal_1d.py --recipe classic --batch 250`, with a
pause for an evaluation every 40 steps; the evaluations themselves are not counted. It can be below the loop's,
because a second thread goes on drawing in the pauses. "Seed-steps a second" is the number of GANs that train at once,
times the steps that each of them does in a second.

{table}
""",
    "speed_mixture_2d.py --repeats 2": """
## Mixtures in the plane

{command}: networks with 16, 64 and 400 units in a layer, beside JAX. Ours
draws random numbers of 16 bits and minibatches of shuffled epochs, and each seed has 100,000 points of its own (51 MB
for 64 seeds). JAX draws 32 bits, and each minibatch with replacement; all its GANs share one set of 100,000 points.
The share of the peak is that of the matrix products alone: a step (an update of D and one of G) with 64 units takes
20.9 million operations a seed. "As typed" leaves evaluations out, too.

{table}

What limits the speed with 64 units: XLA multiplies these small matrices, 64 x 64 by 64 x 100, at 81 to 107 GFLOP/s on
a core, which is half to two thirds of what it reaches with large ones (158). Other ways were slower or no faster: XLA
without its library of kernels, samples in rows, wider vectors, real and fake points in one batch, 4 or 8 seeds in a
program. With 32 in a program instead of 16 a step of 64 seeds took 10.4 ms instead of 10.0.
""",
    "speed_mnist.py": """
## The tutorials' MNIST GANs

{command}: two tutorials' GANs, a dense and a convolutional one, beside Keras and PyTorch as
tutorials use them. PyTorch and Keras compute the upsampling convolutions of the DCGAN as they are written, 18.5
billion operations a step. Ours are one transposed convolution each, with 4/9 of the products: 9.3 billion a step.
This saves half of the arithmetic, and explains most of the difference. Keras also updates D twice a step, once on
real images and once on fakes, and makes D's fakes with `predict`, that is in inference mode; so G runs once more.
None of the others was timed in bfloat16.

{table}

A step of our DCGAN is about 9.3 billion operations, so that it ran at 165 GFLOP/s in float32; a large convolution
reached 365. The upsampling convolutions, a third of the step, reached 270. Other ways to compute them were slower:
four convolutions with 2x2 kernels, one with four times the channels, one with a 3x3 kernel and zeros.
""",
    "speed_cells.py": """
## Many runs, many devices

{command}: runs shared by the workers of `compare.py` ([cluster.md](../cluster.md)), and one training shared by
devices ([gpu.md](../gpu.md)).

{table}
""",
    "speed_growth.py": """
## How the cost grows with the work

{command}, in [one figure](../figures/growth.png). Seeds, steps and batch are those of
`normal_1d.py --recipe classic`; units those of `mixture_2d.py --recipe classic` with one seed, and operations those
of its matrix products.

{table}

With more seeds a step of a seed cost 8.9 to 12.1 µs, without a clear trend (each point was measured once). From 8
seeds on there are two programs, one on each core, and a third thread draws. Small batches and narrow layers pay for
the start of each operation.
""",
    "speed_numpy_gan.py": """
## The GAN with gradients by hand

{command}: the GAN on 8x8 digits in NumPy, beside the same GAN in PyTorch and Keras.
Ours computes in float64 and also measures D's errors; the others compute in float32.

{table}

Keras in a compiled function takes about as long; the code by hand is there to be read.
""",
}


def table(command: str) -> str:
    """What a program prints, without the line that names the machine: a table in Markdown, or text, then indented.

    SystemExit: the program failed, and has said why.
    """
    print(command, file=sys.stderr)
    script, *flags = command.split()
    words = [sys.executable, str(Path(__file__).with_name(script)), *flags]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    text = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("The machine: ")).strip("\n")
    return text if text.startswith("|") else textwrap.indent(text, "    ")


def main() -> None:
    """Print the page, section by section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [command.split()[0] for command in SECTIONS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="run these programs (default: all)")
    only = parser.parse_args().only
    ray = importlib.util.find_spec("ray")
    for name, what, there in (("speed_live.py", "chromium", CHROMIUM), ("speed_cells.py", "the package ray", ray)):
        if name in only and not there:
            parser.error(f"{name} needs {what}; install it, or name the other programs with --only")
    made = pages.line(__file__)
    print(HEAD, end="", flush=True)
    for command, text in SECTIONS.items():
        if command.split()[0] in only:
            print(text.format(command=f"`python benchmarks/{command}`", table=table(command)), end="", flush=True)
    print(f"\n{made}")


if __name__ == "__main__":
    main()
