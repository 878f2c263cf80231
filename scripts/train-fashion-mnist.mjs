/**
 * `npm run train:fashion-mnist [DATA] [OUT]` trains the embedded model from the beginning: tokenizer, codes, model, float16
 * export and a grid of 100 samples, with the options in models/fashion-mnist/{tokenizer,model}.json. After an interruption, run
 * it again to continue.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { FASHION_MNIST } from './data.mjs';
import { build, install, root } from './setup.mjs';

const [from = FASHION_MNIST, to = `${root}out/fashion-mnist`] = process.argv.slice(2);
const [data, out] = [resolve(from), resolve(to)];
const recipe = `${root}models/fashion-mnist`;

function aim(...args) {
  process.stderr.write(`\naim ${args.join(' ')}\n`);
  const { status } = spawnSync(process.execPath, [`${root}dist/cli.js`, ...args], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

/** Trains into the folder `run`, from its latest checkpoint if it has one. Returns the path of the last checkpoint. */
function train(stage, source, run, ...options) {
  const resume = existsSync(`${run}/latest`) ? ['--resume'] : [];
  aim('train', stage, source, '--config', `${recipe}/${stage}.json`, '--out', run, ...options, ...resume);
  return `${run}/${readFileSync(`${run}/latest`, 'utf8').trim()}`;
}

process.on('SIGINT', () => {}); // Ctrl-C reaches the child process, which saves and exits.
install();
build();
mkdirSync(out, { recursive: true });
const tokenizer = train('tokenizer', data, `${out}/tokenizer`);
const codes = `${out}/codes.safetensors`;
const classes = `${recipe}/classes.json`;
aim('tokenize', data, '--tokenizer', tokenizer, '--classes', classes, '--batch', '256', '--out', codes);
const model = train('model', codes, `${out}/model`, '--tokenizer', tokenizer);
aim('export', model, '--out', `${out}/export`);
aim('generate', `${out}/export`, '--count', '100', '--cfg-scale', '1.5', '--out', `${out}/samples.png`);
