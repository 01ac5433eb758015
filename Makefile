# Short names for the scripts that do the work.

.PHONY: help check lint test coverage format man demo changelog clean

help:  ## List these targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

check:  ## Everything that must hold before a change goes in
	./test

lint:  ## Only the checks that read the code without running it
	tools/environment dev
	tools/checks

test:  ## Only the tests
	./test tests

coverage:  ## The tests, and which lines and branches they pass (twice the time)
	./test -n 4 --dist worksteal --cov --cov-report=term:skip-covered tests

format:  ## Let ruff order the code
	tools/environment dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

man:  ## Write the manual pages anew
	tools/environment dev
	.venv/bin/python tools/man.py

demo:  ## Show vaultsync at work against a cloud on this machine
	./demo

changelog:  ## Preview the next changelog from the fragments
	tools/environment dev
	.venv/bin/towncrier build --draft --version next

clean:  ## Remove what builds and checks leave behind (not .venv)
	rm -rf build dist htmlcov .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
