# Two commands on a fresh machine: `make run` does the main job, `make test` runs the tests.
# Both first make an environment in .venv; PYTHON chooses its interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What `make run` trains: ten classes at 32x32, with the settings that learn most in a few minutes on a CPU.
MODEL ?= alexnet
FLAGS ?= --classes 10 --images_per_class 150 --image_size 32 --epochs 10 --warmup_epochs 1 --batch_size 32 \
	--optimizer adamw --no_nesterov --lr 5e-4 --dropout 0.2 --augment none --mixup_cutmix_alpha 0

.PHONY: run test

# What runs need for `make run`, and what the tests need too for `make test`.
$(VENV)/ready $(VENV)/ready-dev: $(VENV)/ready%: requirements%.txt requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Tiny ImageNet where it is here or can be downloaded, else the demo data that the program draws itself.
run: $(VENV)/ready
	@dataset=tiny-imagenet; $(BIN)/python src/curate_data.py || { dataset=demo; echo "no Tiny ImageNet: training on the demo data"; }; \
	set -ex; name=quickstart_$(MODEL)_$$dataset; \
	$(BIN)/python src/train.py --model $(MODEL) --dataset $$dataset --run_name $$name --overwrite $(FLAGS); \
	$(BIN)/python src/test.py --run $$name; \
	$(BIN)/python plots/plot_training_loss.py --run $$name; \
	$(BIN)/python plots/plot_training_acc.py --run $$name; \
	$(BIN)/python src/infer.py --run $$name --top_k 5 --image "$$(find data/curated/$$dataset/test -name '*.JPEG' | head -n 1)"

test: $(VENV)/ready-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal
