/**
 * `npm run train:fashion-mnist -- [DATA] [OUT]` and `npm run train:emoji -- [DATA] [OUT]` train the models in models/ from the beginning:
 * tokenizer, codes, model, float16 export and a grid of 100 samples, with the options in models/NAME/{tokenizer,model}.json. After an
 * interruption, run it again to continue.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { FASHION_MNIST } from './data.mjs';
import { build, install, root } from './setup.mjs';

/** Where the data are, and the flags of each command that its JSON file does not hold. */
const MODELS = {
  'fashion-mnist': {
    data: FASHION_MNIST,
    tokenizer: [],
    codes: ['--classes', `${root}models/fashion-mnist/classes.json`, '--batch', '256'],
    model: [],
    weights: [],
    samples: ['--cfg-scale', '1.5'],
  },
  emoji: {
    data: `${root}out/emoji`,
    make: 'emoji-data.mjs',
    tokenizer: ['--flip', '--precision', 'mixed'],
    codes: ['--flip', '--augment', '8', '--precision', 'mixed'],
    model: ['--best'],
    weights: ['--ema'],
    samples: ['--class', 'all'],
  },
};

/** What the model is to recommend for drawing. */
const SETTINGS = 'generation_config.json';

const [name, from, to] = process.argv.slice(2);
const flags = MODELS[name];
if (!flags) {
  process.stderr.write(`train-model: which model? It is one of ${Object.keys(MODELS).join(', ')}.\n`);
  process.exit(2);
}
const [data, out] = [resolve(from ?? flags.data), resolve(to ?? `${root}out/train-${name}`)];
const recipe = `${root}models/${name}`;

function run(...args) {
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

function aim(...args) {
  process.stderr.write(`\naim ${args.join(' ')}\n`);
  run(`${root}dist/cli.js`, ...args);
}

/** Trains into the folder `run`, from its latest checkpoint if it has one. Returns the path of the last checkpoint. */
function train(stage, source, folder, ...options) {
  const resume = existsSync(`${folder}/latest`) ? ['--resume'] : [];
  aim('train', stage, source, '--config', `${recipe}/${stage}.json`, '--out', folder, ...flags[stage], ...options, ...resume);
  return `${folder}/${readFileSync(`${folder}/latest`, 'utf8').trim()}`;
}

process.on('SIGINT', () => {}); // Ctrl-C reaches the child process, which saves and exits.
install();
build();
mkdirSync(out, { recursive: true });
if (flags.make && from === undefined && !existsSync(data)) run(`${root}scripts/${flags.make}`);
const tokenizer = train('tokenizer', data, `${out}/tokenizer`);
const codes = `${out}/codes.safetensors`;
aim('tokenize', data, '--tokenizer', tokenizer, ...flags.codes, '--out', codes);
train('model', codes, `${out}/model`, '--tokenizer', tokenizer);
aim('export', `${out}/model`, ...flags.weights, '--out', `${out}/export`);
if (existsSync(`${recipe}/${SETTINGS}`)) copyFileSync(`${recipe}/${SETTINGS}`, `${out}/export/${SETTINGS}`);
aim('generate', `${out}/export`, '--count', '100', ...flags.samples, '--out', `${out}/samples.png`);
