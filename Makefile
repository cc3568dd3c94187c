# Set-up, demonstration and checks; each target makes .venv first where it is missing.
#   make demo    train, export, build an engine, generate: in demo/, about five minutes
#   make test    the test suite
#   make slow    the tests that train for longer, and those with a real Triton server and a real ROS 2
#   make lint    ruff, mypy and import-linter
#   make docs    the documentation, into site/; a dead link ends it
#   make status  the counted part of docs/status.md, from the reports of make test and make slow
#   make coverage   the test suite, and the share of lines and branches that it runs
#   make browser  Chromium, npm, exiftool, GNU parallel and SLURM for the tests: by apt-get, if you are root
#   make screenshots  the pictures of docs/web.md, from GRAPH (demo/g.fp16.onnx)
#   make pictures     docs/walk.webp from GRAPH; docs/emoji.png and the sprites after an hour of training; needs npm
#   make fuzz       fuzz each reader of foreign bytes for SECONDS (60), two at a time; TARGET for some
#   make golden  the generators of gantool doctor --selftest, after a change of bundles or graphs
#   make release-check  builds dist/, checks it, and runs it in each Python from 3.10 to 3.14 that is here
#   make bench   the runtime against plain loops, into benchmarks/runtime.md
#   make load-serve     ten times the load that gantool serve can hold, for a minute, with GRAPH
#   make bench-train    quality by time against a plain script, into benchmarks/train.md; 35 minutes
#   make bench-icons    presets on 3,786 emoji, into benchmarks/icons.md; 40 minutes; needs npm
#   make bench-distill  students and networks from scratch, into benchmarks/distill.md; 70 minutes; needs npm
#   make bench-busy     training beside other programs, into benchmarks/busy.md; 4 minutes
#   make bench-export   times, sizes and PSNR of exports, into benchmarks/export.md
#   make bench-serve    gantool serve beside FastAPI and Triton, into benchmarks/serve.md; eight minutes
#   make bench-scale    images/s by processes and by actors of Ray, into benchmarks/scale.md; four minutes

PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
DEMO := $(VENV)/.demo
DEV := $(VENV)/.dev

# Python 3.10 has no wheels of the versions in constraints.txt: pip chooses the newest that it has.
PINNED := $(shell $(PYTHON) -c 'import sys; print("-c constraints.txt" if sys.version_info >= (3, 11) else "")')
INSTALL = $(BIN)/pip install --disable-pip-version-check $(PINNED)

.PHONY: demo data test slow coverage browser screenshots load-serve fuzz golden docs status pictures release-check bench bench-busy bench-distill bench-export bench-icons bench-scale bench-serve bench-train lint format clean

$(DEMO): pyproject.toml constraints.txt
	@$(if $(PINNED),:,echo "$$($(PYTHON) -V): installing the newest versions, not those of constraints.txt")
	@echo "installing gantool and PyTorch into $(VENV): 1.5 GB, some minutes ..."
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: apt-get install python3-venv" >&2; exit 1; }
	@$(INSTALL) -e '.[train,export,cpu,rtx]'
	@touch $@

$(DEV): $(DEMO)
	@echo "installing what the tests need ..."
	@$(INSTALL) -e '.[train,export,cpu,openvino,rtx,dev]'
	@touch $@

data: $(DEMO)
	@$(BIN)/python -m gantool.train.data.debian

demo: data
	@mkdir -p demo
	cd demo && $(BIN)/gantool train --minutes 3
	cd demo && $(BIN)/gantool export --fp16
	cd demo && $(BIN)/gantool generate --engine g.fp16.onnx --seeds 0-63 --grid 8x8 --out images --force
	@echo
	@echo "All of it lies in demo/: the run in runs/, the graphs and the engine g.*, the images in images/."
	@echo "Look at demo/images/grid.png, then:"
	@echo "  cd demo"
	@echo "  $(VENV:%=../%)/bin/gantool generate --engine g.fp16.onnx --seeds 100-199 --out more"
	@echo "  $(VENV:%=../%)/bin/gantool train --resume latest           # go on training"
	@echo "  $(VENV:%=../%)/bin/gantool train --data FOLDER             # your own images"
	@echo "No GPU is needed for any of these; g.rtx.plan is for a desktop with an RTX GPU."

test: $(DEV) browser
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not slow" --junitxml=build/test.xml

slow: $(DEV) browser .triton .ros
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m slow --junitxml=build/slow.xml

docs: $(DEV)  # without --quiet, which also switches strict mode off
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "open site/index.html"

status: $(DEV)
	PYTHONPATH=tests $(BIN)/python tests/helpers/status.py

# Triton's server, 144 MB, for the tests and benchmarks; never a part of .venv
.triton: | $(DEV)
	@echo "installing Triton's server into .triton ..."
	@$(BIN)/python tests/helpers/triton_server.py || echo "the tests of Triton's server will be skipped"

# rclpy of ROS 2, 160 MB, for the test of examples/ros2; never a part of .venv
.ros: | $(DEV)
	@echo "installing ROS 2 into .ros ..."
	@$(BIN)/python tests/helpers/ros.py || echo "the test of examples/ros2 will be skipped"

coverage: $(DEV) browser
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not slow" --cov --cov-report=term:skip-covered

# Without them, these tests are skipped. Only what is missing: another npm than Debian's conflicts with Debian's.
# command, or command:package where their names differ
TOOLS := chromium npm parallel exiftool:libimage-exiftool-perl munged:munge slurmctld slurmd
browser:
	@missing=; for each in $(TOOLS); do \
	command -v $${each%:*} >/dev/null || missing="$$missing $${each#*:}"; done; \
	[ -z "$$missing" ] || [ "$$(id -u)" != 0 ] || \
	{ apt-get update -q && apt-get install -qy --no-install-recommends $$missing; } >/dev/null || true
	@for each in $(TOOLS); do command -v $${each%:*} >/dev/null || \
	echo "no $${each%:*}: tests that need it are skipped"; done

GRAPH ?= demo/g.fp16.onnx
screenshots: $(DEV) browser
	$(BIN)/python tests/helpers/screenshots.py $(GRAPH) $(DIRECTIONS)

SPRITES := Animals-and-Nature,Flags,People-and-Body,Smileys-and-Emotion
pictures: $(DEV) .emoji
	rm -rf build/pictures && mkdir -p build/pictures
	$(BIN)/gantool morph $(GRAPH) --seeds 0-89 --grid 10x3 --frames 9 --fps 9 --ease --loop --upscale 2 -o build/pictures/walk.webp
	cd build/pictures && $(BIN)/gantool train --data $(abspath .emoji) --preset small --conditional --minutes 60
	cd build/pictures && $(BIN)/gantool export --engine none
	cd build/pictures && $(BIN)/gantool generate g.onnx --class all --seeds 0-11 --grid 12x10 --out emoji
	cp build/pictures/walk.webp docs/
	cp build/pictures/emoji/grid.png docs/emoji.png
	cd build/pictures && $(BIN)/gantool generate g.onnx --class $(SPRITES) --seeds 0-11 --layout folders --out sprites
	cd build/pictures && $(BIN)/python $(abspath examples/sprites/atlas.py) sprites sheet
	cp build/pictures/sheet-preview.png examples/sprites/sprites.png

load-serve: $(DEV)
	$(BIN)/python benchmarks/serve_load.py $(GRAPH)

SECONDS ?= 60
fuzz: $(DEV)
	PYTHONPATH=tests $(BIN)/python -m fuzz.run $(SECONDS) $(TARGET)

golden: $(DEV)
	$(BIN)/python tests/helpers/golden.py

release-check: $(DEV)
	PYTHONPATH=tests $(BIN)/python tests/helpers/release.py

bench: $(DEV)
	$(BIN)/python benchmarks/runtime.py

bench-export: $(DEV)
	$(BIN)/python benchmarks/export.py

bench-serve: $(DEV) .triton
	PYTHONPATH=tests $(BIN)/python benchmarks/serve.py

bench-scale: $(DEV)
	RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled $(BIN)/python benchmarks/scale.py

bench-busy: data
	$(BIN)/python benchmarks/busy.py

bench-train: data
	$(BIN)/python benchmarks/train.py

bench-icons: $(DEV) .emoji
	$(BIN)/python benchmarks/icons.py .emoji

bench-distill: data .emoji
	$(BIN)/python benchmarks/distill.py --icons .emoji

# 3,786 emoji, 64×64, in a folder for each category
.emoji:
	rm -rf .emoji.part && mkdir .emoji.part
	cd .emoji.part && npm pack --silent emoji-datasource-twitter@16.0.0 && tar xzf *.tgz
	$(BIN)/python examples/emoji/emoji.py .emoji.part/package .emoji.part/emoji
	mv .emoji.part/emoji .emoji && rm -rf .emoji.part

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .triton .ros .fuzz demo build dist site
