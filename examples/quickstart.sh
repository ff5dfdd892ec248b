#!/bin/sh
# The whole story of mlgit on one small project, from `git init` to a failing gate and a fresh clone.
#
# Needs Python 3.10 or newer and Git, nothing else: it makes its own virtual environment (`.venv-quickstart`, kept for
# the next run) and works in a temporary folder (removed at the end; KEEP=1 keeps it). It reads no Git configuration of
# yours and changes none. Every step is checked: the first one that does not come out as told ends the script with 1.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=$here/.venv-quickstart
work=$(mktemp -d "${TMPDIR:-/tmp}/mlgit-quickstart.XXXXXX")
work=$(CDPATH='' cd -- "$work" && pwd -P)
out=$work/output

finish() {
    code=$?
    trap - EXIT
    if [ -n "${KEEP:-}" ]; then
        printf '\nThe project is kept in %s\n' "$work"
    else
        chmod -R u+w "$work" && rm -rf "$work"
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- how a step is told and checked ------------------------------------------------------------------------------

step() { printf '\n\n== %s\n\n' "$*"; }
say() { printf '%s\n' "$@"; }
ok() { printf '  ok: %s\n' "$*"; }
fail() {
    printf '\nquickstart FAILED: %s\n' "$*" >&2
    exit 1
}

# Show a command, run it, show what it printed; it must end with the exit code given first.
expect() {
    want=$1
    shift
    printf '\n$ %s\n' "$*"
    code=0
    "$@" >"$out" 2>&1 || code=$?
    sed 's/^/  /' "$out"
    [ "$code" -eq "$want" ] || fail "exit code $code, expected $want: $*"
    [ "$want" -eq 0 ] || ok "exit code $want"
}
run() { expect 0 "$@"; }

# The last output holds each of these texts.
said() {
    for text in "$@"; do
        grep -qF -- "$text" "$out" || fail "the output above does not say: $text"
    done
}

# `mlgit repro` ran exactly these stages, in this order.
repro_runs() {
    run mlgit repro
    ran=$(sed -n 's/^\([a-z]*\): running.*/\1/p' "$out" | tr '\n' ' ')
    [ "${ran% }" = "$*" ] || fail "stages that ran: '${ran% }', expected: '$*'"
    ok "ran: ${*:-nothing}"
}

# A command ends with the exit code given first, and the JSON object it prints, `it`, satisfies a Python expression.
json_says() {
    want=$1 expression=$2
    shift 2
    printf '\n$ %s\n' "$*"
    code=0
    "$@" >"$out" || code=$?
    [ "$code" -eq "$want" ] || fail "exit code $code, expected $want: $*"
    python -c 'import json, sys; it = json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' \
        "$out" "$expression" || { cat "$out"; fail "not so in the JSON above: $expression"; }
    ok "$expression"
}

same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }

# --- set-up ------------------------------------------------------------------------------------------------------

find_python() {
    for python in "${PYTHON:-}" python3 python; do
        [ -n "$python" ] || continue
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    fail 'no Python 3.10 or newer found; set PYTHON=/path/to/python3'
}

quietly() { "$@" >"$out" 2>&1 || { cat "$out" >&2; fail "set-up: $*"; }; }

command -v git >/dev/null || fail 'Git is not installed'
say "Setting up mlgit in $venv"
if ! "$venv/bin/python" -c '' 2>/dev/null; then
    python=$(find_python)
    quietly "$python" -m venv --clear "$venv"
fi
quietly "$venv/bin/python" -m pip install --disable-pip-version-check "$here"
PATH=$venv/bin:$PATH

unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_CEILING_DIRECTORIES PYTHONPATH PYTHONHOME
HOME=$work/home XDG_CONFIG_HOME=$work/home GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
GIT_AUTHOR_NAME='Quick Start' GIT_AUTHOR_EMAIL=quickstart@example.org
GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1
export PATH HOME XDG_CONFIG_HOME GIT_CONFIG_GLOBAL GIT_CONFIG_NOSYSTEM NO_COLOR PYTHONDONTWRITEBYTECODE
export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
mkdir "$HOME"

set_param() {
    printf '\n$ edit params.yaml: train.%s is now %s\n' "$1" "$2"
    sed "s/^  $1: [a-z0-9.]*/  $1: $2/" params.yaml >"$out" && cp "$out" params.yaml
}

# --- the story ---------------------------------------------------------------------------------------------------

step '1. A project in Git'
say 'Code, parameters and a stage file: nothing here is new, and nothing has run yet.'
cp -R "$here/examples/breast-cancer" "$work/tumours"
cd "$work/tumours"
rm -rf __pycache__
run git init --quiet --initial-branch=main
run mlgit init
run git add .
run git commit --quiet --message 'Code, parameters, stages'
run git tag start

step '2. Data that Git should not hold'
run python make_data.py
run mlgit add data/raw.csv
run cat data/raw.csv.mlgit
said 'oid: blake3:' 'type: file'
git check-ignore --quiet data/raw.csv || fail 'data/raw.csv is not ignored by Git'
ok 'Git ignores the data and sees the pointer'

step '3. Run the pipeline'
repro_runs prepare split train evaluate
[ -s mlgit.lock ] || fail 'no mlgit.lock'
run mlgit metrics show
said accuracy roc_auc

step '4. Run it again: nothing has changed, so nothing runs'
cp mlgit.lock "$work/lock"
repro_runs
same mlgit.lock "$work/lock"

step '5. Push the objects to a remote, the text to Git'
run mlgit remote add -d storage "$work/storage"
run mlgit push
run git add .
run git commit --quiet --message 'First model'
[ -z "$(git ls-files | grep -E '\.(joblib)$|raw\.csv$|prepared\.csv$')" ] || fail 'Git holds data or models'
ok 'Git holds no data and no model'
run mlgit status
said 'everything is up to date'
[ -z "$(git status --porcelain)" ] || fail 'the working tree is not clean'

step '6. Try a parameter on a branch: only what depends on it runs'
run git checkout --quiet -b fewer-trees
set_param trees 50
run mlgit why train
said 'train.trees: 200 → 50' 'downstream: evaluate'
repro_runs train evaluate
run mlgit params diff main
said train.trees
run mlgit metrics diff main
said accuracy roc_auc

step '7. May it merge? The gate compares with the merge base'
say 'One tumour of 171 more is taken for the other kind: less accuracy, but no more than chance explains.'
run mlgit gate
said 'changed, not significant: -0.00585 in [-0.0175, 0] at 95 %' 'bootstrap of 171 predictions'
run git commit --quiet --all --message 'A quarter of the trees'

step '8. A change that the gate refuses'
say 'A mix-up in the training data: the labels are shuffled.'
set_param shuffle_labels true
repro_runs train evaluate
expect 1 mlgit gate
said metrics/eval.json:accuracy 0.935673 'max_drop_abs 0.005' regressed
ok 'it names metric, base, head, rule and shortfall'
json_says 1 'it["verdict"] == "fail" and it["gates"][0]["shortfall"] > 0.3' mlgit gate --json

step '9. A metric that vanished is a failure, not silence'
mv metrics/eval.json "$work/eval.json"
expect 1 mlgit gate
said missing
mv "$work/eval.json" metrics/eval.json

step '10. Back to the value that was good: restored, not run'
set_param shuffle_labels false
repro_runs
said 'train: restored' 'evaluate: restored'
git diff --quiet || fail 'the results are not those of the commit'
ok 'every file is as committed'

step '11. No baseline: said loudly, neutral by default'
say 'The first commit has no metrics, so a drop cannot be judged. Absolute limits can.'
run mlgit gate --base start
said 'the base has no value'
cp mlgit.yaml "$work/mlgit.yaml"
printf '\n$ edit mlgit.yaml: min: 0.90 is now min: 0.95\n'
sed 's/min: 0.90/min: 0.95/' "$work/mlgit.yaml" >mlgit.yaml
expect 1 mlgit gate --base start
said 'below min'
printf '\n$ edit mlgit.yaml: add on_missing_base: fail\n'
sed 's/^    min: 0.90/    on_missing_base: fail\n    min: 0.90/' "$work/mlgit.yaml" >mlgit.yaml
expect 19 mlgit gate --base start
cp "$work/mlgit.yaml" mlgit.yaml

step '12. What a pull request is asked: one command in any CI'
say 'Nobody else has the data of this branch yet, so it may not merge.'
expect 1 mlgit ci --base main
said 'lacks 1 object' 'changed, not significant'
run mlgit push
run mlgit ci --base main --html "$work/report.html"
said 'mlgit: passed'
[ -s "$work/report.html" ] || fail 'there is no page'
ok 'a page with plots is written too'

step '13. Merge, push'
run git checkout --quiet main
run mlgit checkout
json_says 0 'it["metrics"][1]["value"] == 0.935673' mlgit metrics show --json
run git merge --quiet fewer-trees
run mlgit checkout
run mlgit push
run mlgit status
said 'everything is up to date'

step '14. A colleague clones it: data and models arrive, nothing has to run'
cd "$work"
run mlgit clone "$work/tumours" colleague
cd colleague
for file in data/raw.csv data/prepared.csv data/split/test.csv models/model.joblib metrics/eval.json; do
    same "$file" "../tumours/$file"
done
ok 'all files are the same, byte for byte'
repro_runs
[ -z "$(git status --porcelain)" ] || fail 'the clone is not clean'

step '15. Twice from nothing, in two folders: the same bytes'
for copy in one two; do
    cp -R "$here/examples/breast-cancer" "$work/$copy"
    cd "$work/$copy"
    rm -rf __pycache__
    quietly git init --quiet --initial-branch=main
    quietly mlgit init
    quietly python make_data.py
    quietly mlgit add data/raw.csv
    repro_runs prepare split train evaluate
done
run diff -r --exclude=.git --exclude=.mlgit "$work/one" "$work/two"
ok 'data, model, metrics, plots, pointer and lock are identical'

step '16. Proven, not believed: every stage once more, in a folder that holds only what it declares'
run mlgit verify --jobs 2
said 'Verify: passed'
say '' '$ edit mlgit.yaml: train no longer declares table.py, which train.py imports'
awk '/^  train:/ { inside = 1 } /^  evaluate:/ { inside = 0 } !(inside && /- table.py/)' mlgit.yaml >"$out"
cp "$out" mlgit.yaml
expect 17 mlgit repro --hermetic train
said 'reads table.py, which it does not declare' 'add `- table.py` under `deps:` of stage train in mlgit.yaml'

step '17. Where does the model come from?'
cd "$work/colleague"
run mlgit lineage models/model.joblib
said 'python train.py' data/raw.csv

printf '\n\nquickstart: every step came out as told\n'
