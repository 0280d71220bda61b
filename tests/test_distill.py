"""Distillation: the loss by hand, and a teacher with statistics and a size of its own."""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from tinybench.data.augment.policy import normalize
from tinybench.errors import UsageError, UserError
from tinybench.inference.checkpoint import network_checkpoint, network_options, read_checkpoint, write_checkpoint
from tinybench.models import build_model
from tinybench.recipe import Recipe, RunOptions
from tinybench.training import trainer
from tinybench.training.distill import distillation_loss, load_teacher
from tinybench.training.saving import Stopped
from tinybench.training.setup import load_images
from tinybench.training.trainer import train, train_step

CPU = torch.device("cpu")
STUDENT = Recipe(
    model="vit",
    model_options={"dim": 16, "depth": 1, "num_heads": 2, "patch_size": 16},
    dataset="demo",
    classes=3,
    images_per_class=10,
    epochs=2,
    batch_size=12,
    optimizer="adamw",
    lr=1e-3,
    mixup_cutmix_alpha=0.4,
    precision="fp32",
)


def make_teacher(path, data_dir, **changes):
    recipe = dataclasses.replace(STUDENT, image_size=32, **changes)
    images, _ = load_images(recipe, data_dir)
    torch.manual_seed(1)
    model = build_model(
        "vit", num_classes=images.num_classes, image_size=recipe.image_size, **network_options(recipe)
    ).eval()
    torch.nn.init.normal_(model.head.weight)
    images = dataclasses.replace(images, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    write_checkpoint(path, network_checkpoint(recipe, images, epoch=1, val_acc=1.0, weights="model", model=model))
    return model, images


def test_loss_by_hand():
    # Softened by 2, the teacher says 3/4 and 1/4, the student 1/2 and 1/2.
    teacher, student = torch.tensor([[2 * math.log(3), 0.0]]), torch.zeros(1, 2)
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    assert distillation_loss(student, teacher, 2.0).item() == pytest.approx(expected)
    assert distillation_loss(teacher, teacher, 2.0).item() == pytest.approx(0, abs=1e-6)


def test_a_hot_student_learns_as_fast_as_from_logits():
    # In the limit of high temperatures the gradient is that of matching logits (Hinton et al., section 2.1).
    torch.manual_seed(0)
    logits, teacher = torch.randn(4, 5).requires_grad_(), torch.randn(4, 5)
    (gradient,) = torch.autograd.grad(distillation_loss(logits, teacher, 1000.0), logits)
    centred = (logits - logits.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    torch.testing.assert_close(gradient, centred.detach() / 5 / 4, rtol=0.01, atol=1e-4)


def test_the_teacher_sees_its_own_size_and_statistics(demo_data, tmp_path):
    model, images = make_teacher(tmp_path / "best_model.pth", demo_data)
    student = dataclasses.replace(STUDENT, teacher=str(tmp_path / "best_model.pth"))
    own, _ = load_images(student, demo_data)
    teacher = load_teacher(student, own, CPU)
    batch = normalize(own.images[:4], 64, own.mean, own.std)
    with torch.no_grad():
        expected = model(normalize(images.images[:4], 32, images.mean, images.std))
    torch.testing.assert_close(teacher(batch), expected, rtol=1e-4, atol=1e-4)
    assert not teacher(batch.requires_grad_()).requires_grad


def test_a_run_learns_its_answers_and_resumes_exactly(demo_data, tmp_path, monkeypatch):
    make_teacher(tmp_path / "teacher.pth", demo_data)
    recipe = dataclasses.replace(
        STUDENT, teacher=str(tmp_path / "teacher.pth"), distill_weight=1.0, label_smoothing=0.0, accumulate_steps=2
    )
    runs = [RunOptions(run_name=name, data_dir=demo_data, results_dir=tmp_path, device="cpu") for name in "ab"]
    history = train(recipe, runs[0])
    # All weight is on the teacher: the loss is the divergence, below that of a student that learns labels alone.
    assert history.epochs["train_loss"][1] < history.epochs["train_loss"][0]
    steps = iter(range(100))

    def stop_at_third(*arguments, **options):
        train_step(*arguments, **options)
        if next(steps) == 2:
            raise Stopped("enough")

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", stop_at_third)
        with pytest.raises(Stopped):
            train(recipe, runs[1])
    train(recipe, runs[1], resume=runs[1].folder / "last.pth")
    a, b = (read_checkpoint(run.folder / "last.pth")["state_dict"] for run in runs)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_loss_of_a_step_is_the_weighted_sum(demo_data, tmp_path):
    make_teacher(tmp_path / "teacher.pth", demo_data)
    recipe = dataclasses.replace(
        STUDENT, teacher=str(tmp_path / "teacher.pth"), distill_weight=0.25, distill_temperature=3.0,
        mixup_cutmix_alpha=0.0, label_smoothing=0.0,
    )  # fmt: skip
    images, val_images = load_images(recipe, demo_data)
    state = trainer.build_state(recipe, images, val_images, CPU)
    batch = trainer.TrainBatches(images, recipe).batch(0, 0)
    with torch.no_grad():
        logits = state.model(batch.images)
        hard, soft = F.cross_entropy(logits, batch.labels), distillation_loss(logits, state.teacher(batch.images), 3.0)
    train_step(recipe, state, batch, 0.0, dropout_seed=0)
    assert state.sums[0].item() / len(batch) == pytest.approx((0.75 * hard + 0.25 * soft).item(), rel=1e-5)


def test_wrong_teachers_are_one_line(demo_data, tmp_path):
    make_teacher(tmp_path / "four.pth", demo_data, classes=4)
    images, _ = load_images(STUDENT, demo_data)
    with pytest.raises(UsageError, match=r"teacher .* knows 4 classes of demo, which are not the 3 of dataset demo"):
        load_teacher(dataclasses.replace(STUDENT, teacher=str(tmp_path / "four.pth")), images, CPU)
    with pytest.raises(UserError, match=r"cannot read .*none\.pth"):
        load_teacher(dataclasses.replace(STUDENT, teacher=str(tmp_path / "none.pth")), images, CPU)
    with pytest.raises(UsageError, match=r"distill_weight 0\.7 goes with a teacher"):
        Recipe(distill_weight=0.7)
    with pytest.raises(UsageError, match="distill_weight must be greater than 0"):
        Recipe(teacher="x", distill_weight=0.0)
