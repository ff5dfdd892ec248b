// Reads an action or a workflow with GitHub's own parser and evaluates its expressions with GitHub's own evaluator, one
// step at a time, for the harness in actions_runner.py, which runs the scripts. It runs nothing itself.
//
//   node run_composite.mjs NODE_MODULES
//
// One request a line on standard input, one answer a line on standard output, both JSON:
//   {do: "open", kind: "action" | "workflow", file, text}  → {errors, inputs, outputs, jobs, steps}
//   {do: "defaults", contexts}            → {input: value} of an action
//   {do: "job", job, contexts}            → {runs, env}
//   {do: "step", job, index, contexts}    → {runs, id, name, uses, run, shell, env, with, …}
//   {do: "outputs", contexts}             → {output: value} of an action
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { registerHooks } from "node:module";
import { matchesGlob, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";

const modules = process.argv[2];

// The parser imports its schema, a JSON file, as bundlers take it; Node wants to be told that it is JSON.
registerHooks({
  load(url, context, next) {
    if (!url.endsWith(".json")) return next(url, context);
    return { format: "module", shortCircuit: true, source: `export default ${readFileSync(fileURLToPath(url), "utf-8")}` };
  },
});
const load = (path) => import(pathToFileURL(join(modules, path)).href);
const { Lexer, Parser, Evaluator, data } = await load("@actions/expressions/dist/index.js");
const { truthy } = await load("@actions/expressions/dist/result.js");
const { parseWorkflow, convertWorkflowTemplate, NoOperationTraceWriter } = await load(
  "@actions/workflow-parser/dist/index.js",
);
const { parseAction, convertActionTemplate } = await load("@actions/workflow-parser/dist/actions/index.js");
const { splitAllowedContext } = await load("@actions/workflow-parser/dist/templates/allowed-context.js");

let opened;

// -- functions that the evaluator asks its host for ------------------------------------------------

function* files(folder) {
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* files(path);
    else yield path;
  }
}

function hashFiles(workspace, patterns) {
  const clean = patterns.map((pattern) => pattern.replace(/^(\.\/)+/, ""));
  const whole = createHash("sha256");
  let found = false;
  for (const path of files(workspace)) {
    const name = relative(workspace, path);
    if (!clean.some((pattern) => matchesGlob(name, pattern))) continue;
    whole.update(createHash("sha256").update(readFileSync(path)).digest());
    found = true;
  }
  return found ? whole.digest("hex") : "";
}

function functionsOf(contexts) {
  const status = contexts.status ?? "success";
  const answer = (name, value) => [name, { name, minArgs: 0, maxArgs: 255, call: (...given) => value(...given) }];
  const is = (...wanted) => () => new data.BooleanData(wanted.includes(status));
  const workspace = contexts.github?.workspace ?? ".";
  return new Map([
    answer("always", () => new data.BooleanData(true)),
    answer("success", is("success")),
    answer("failure", is("failure")),
    answer("cancelled", is("cancelled")),
    answer("hashfiles", (...given) => new data.StringData(hashFiles(workspace, given.map((each) => each.coerceString())))),
  ]);
}

// -- evaluation ------------------------------------------------------------------------------------

function compute(expression, allowed, contexts) {
  const { namedContexts, functions } = splitAllowedContext(allowed);
  const tree = new Parser(new Lexer(expression).lex().tokens, namedContexts, functions).parse();
  const known = Object.fromEntries(namedContexts.map((name) => [name, contexts[name] ?? {}]));
  const values = JSON.parse(JSON.stringify(known), data.reviver);
  return new Evaluator(tree, values, functionsOf(contexts)).evaluate();
}

function text(token, contexts) {
  if (token === undefined) return undefined;
  if (!token.isExpression) return token.toString();
  return compute(token.expression, token.definitionInfo?.allowedContext ?? [], contexts).coerceString();
}

function holds(condition, token, contexts) {
  if (condition === undefined) return (contexts.status ?? "success") === "success";
  const allowed = token?.definitionInfo?.allowedContext ?? ["success(0,0)"];
  return truthy(compute(condition.expression, allowed, contexts));
}

function entry(mapping, name) {
  for (const item of mapping ?? []) if (item.key.toString() === name) return item.value;
  return undefined;
}

function evaluated(mapping, contexts) {
  const found = {};
  for (const item of mapping ?? []) found[item.key.toString()] = text(item.value, contexts);
  return found;
}

const sequence = (token) => (token === undefined ? [] : Array.from({ length: token.count }, (_, at) => token.get(at)));

// -- what is asked ---------------------------------------------------------------------------------

const trace = new NoOperationTraceWriter();

async function open({ kind, file, text: content }) {
  const source = { name: file, content };
  const { context, value } = kind === "action" ? parseAction(source, trace) : parseWorkflow(source, trace);
  let template = {};
  if (value !== undefined && context.errors.count === 0) {
    template = kind === "action" ? convertActionTemplate(context, value) : await convertWorkflowTemplate(context, value);
  }
  opened = { kind, root: value, template };
  const errors = context.errors.getErrors().map((error) => error.message ?? String(error));
  const jobs = (template.jobs ?? []).map((job) => job.id.toString());
  return {
    errors: [...errors, ...(template.errors ?? []).map((error) => error.Message)],
    inputs: (template.inputs ?? []).map((input) => input.id),
    outputs: (template.outputs ?? []).map((output) => output.id),
    jobs,
    steps: kind === "action" ? (template.runs?.steps ?? []).length : jobs.map((job) => stepsOf(job).length),
  };
}

function jobOf(job) {
  return entry(entry(opened.root, "jobs"), job);
}

function stepsOf(job) {
  const holder = opened.kind === "action" ? entry(opened.root, "runs") : jobOf(job);
  return sequence(entry(holder, "steps"));
}

function convertedSteps(job) {
  if (opened.kind === "action") return opened.template.runs.steps;
  return opened.template.jobs.find((each) => each.id.toString() === job).steps;
}

function judgeJob({ job, contexts }) {
  const raw = jobOf(job);
  const converted = opened.template.jobs.find((each) => each.id.toString() === job);
  return {
    runs: holds(converted.if, entry(raw, "if"), contexts),
    env: { ...evaluated(entry(opened.root, "env"), contexts), ...evaluated(entry(raw, "env"), contexts) },
  };
}

function defaultOf(job, name, contexts) {
  for (const holder of opened.kind === "action" ? [] : [jobOf(job), opened.root]) {
    const found = entry(entry(entry(holder, "defaults"), "run"), name);
    if (found !== undefined) return text(found, contexts);
  }
  return undefined;
}

function step({ job, index, contexts }) {
  const raw = stepsOf(job)[index];
  const converted = convertedSteps(job)[index];
  const env = evaluated(entry(raw, "env"), contexts);
  const within = { ...contexts, env: { ...contexts.env, ...env } };
  const seen = { id: converted.id, name: text(converted.name, within) ?? "", uses: text(converted.uses, within), env };
  const condition = entry(raw, "if");
  if (!holds(condition === undefined ? undefined : converted.if, condition, within)) return { ...seen, runs: false };
  return {
    ...seen,
    runs: true,
    run: text(converted.run, within),
    shell: text(entry(raw, "shell"), within) ?? defaultOf(job, "shell", within),
    with: evaluated(entry(raw, "with"), within),
    "working-directory": text(entry(raw, "working-directory"), within) ?? defaultOf(job, "working-directory", within),
    "continue-on-error": text(entry(raw, "continue-on-error"), within) === "true",
  };
}

function defaults({ contexts }) {
  const given = (opened.template.inputs ?? []).map((input) => [input.id, text(input.default, contexts) ?? ""]);
  return Object.fromEntries(given);
}

function outputs({ contexts }) {
  return Object.fromEntries((opened.template.outputs ?? []).map((output) => [output.id, text(output.value, contexts)]));
}

const answers = { open, defaults, job: judgeJob, step, outputs };
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = await answers[request.do](request);
  } catch (error) {
    answer = { broke: error.stack ?? String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
