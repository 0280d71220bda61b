"""Train a network: `python src/train.py --model resnet --epochs 80 --mixup_cutmix_alpha 0.4`.

--model takes the recipe that the network has in config.py, --recipe any entry of it; every other flag overrides a
field of that recipe. With --resume, the recipe is the one in the checkpoint. Several GPUs share the work when torchrun
starts it: `torchrun --nproc_per_node=4 src/train.py --model resnet`.
"""

from tinybench.cli.train_arguments import parse_arguments


def main() -> None:
    recipe, arguments = parse_arguments(__doc__)
    from tinybench.data.datasets import download
    from tinybench.runtime.distributed import process_group
    from tinybench.training.trainer import train

    options = arguments.options()
    if arguments.download:
        download(recipe.dataset, options.data_dir)
    with process_group(options.device):
        history = train(
            recipe,
            options,
            resume=arguments.resume[0] if arguments.resume else None,
            overwrite=arguments.overwrite,
        )
    epoch, accuracy, _ = history.best()
    print(f"best epoch {epoch}: {accuracy:.2f} % on the validation images; the files are in {options.folder}")
    print(f"next: {options.command('src/test.py', '--run', options.run_name)}")
