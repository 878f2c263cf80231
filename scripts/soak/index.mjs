/**
 * `npm run soak` tests the library with random faults until the time is over. Each round of a scenario has its own seed, which
 * repeats it, apart from what depends on the moment: the order in which the system delivers bytes, where a kill hits. The program
 * prints how often each scenario ran, what happened, and every finding with the command that repeats it. It exits with 1 if there is
 * a finding. It needs the built library (`npm run build`).
 *
 *   npm run soak -- [--minutes 30] [--seed 1] [--only NAME,NAME] [--rounds N] [--size 1]
 *
 * A scenario is an entry of SCENARIOS: `{ name, limit, share, run(context) }`. `run` does one round. If something is wrong it throws,
 * calls `context.finding(text)`, or takes more than `limit` seconds. After one round of each, the scenario goes next that has had the
 * least time for its `share`; shares are about tens of seconds of half an hour. `--size 0.1` makes rounds about ten times smaller.
 * context.mjs documents the context.
 */
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { createLibrary, roundContext } from './context.mjs';
import { fullDisk } from './full_disk.mjs';
import { hub } from './hub.mjs';
import { killCommands } from './kill_commands.mjs';
import { killDownload } from './kill_download.mjs';
import { lostDevice } from './lost_device.mjs';
import { memoryCycles } from './memory_cycles.mjs';
import { mutatedCodes } from './mutated_codes.mjs';
import { mutatedConfig } from './mutated_config.mjs';
import { mutatedIdx } from './mutated_idx.mjs';
import { mutatedJpeg } from './mutated_jpeg.mjs';
import { mutatedPictures } from './mutated_pictures.mjs';
import { mutatedPng } from './mutated_png.mjs';
import { safetensors } from './mutated_safetensors.mjs';
import { mutatedTorch } from './mutated_torch.mjs';
import { twoProcesses } from './two_processes.mjs';
import { twoRuns } from './two_runs.mjs';

export const SCENARIOS = [
  hub,
  twoProcesses,
  twoRuns,
  killDownload,
  killCommands,
  fullDisk,
  memoryCycles,
  lostDevice,
  safetensors,
  mutatedPng,
  mutatedJpeg,
  mutatedPictures,
  mutatedIdx,
  mutatedTorch,
  mutatedConfig,
  mutatedCodes,
];

/**
 * Runs rounds of the scenarios until `minutes` have passed, at least one of each, or `rounds` of each. Returns counts of events by
 * scenario, and findings.
 *
 * @param {{ name: string, limit: number, share?: number, run(context: any): unknown }[]} scenarios
 * @param {{ minutes: number, seed: number, rounds?: number, size?: number, log?: (text: string) => void }} options
 */
export async function soak(scenarios, { minutes, seed, rounds = Number.POSITIVE_INFINITY, size = 1, log = () => {} }) {
  const library = await createLibrary();
  const end = Date.now() + minutes * 60_000;
  const results = scenarios.map(({ name, share = 1 }) => ({ name, share, rounds: 0, seconds: 0, counts: {} }));
  const findings = [];
  try {
    for (;;) {
      const result = next(results, rounds);
      if (!result || (result.rounds > 0 && Date.now() >= end)) break;
      const own = seed + result.rounds;
      const begun = Date.now();
      for (const text of await runRound(scenarios[results.indexOf(result)], own, library, result.counts, size)) {
        findings.push({ scenario: result.name, seed: own, text });
        const small = size === 1 ? '' : ` --size ${size}`;
        log(
          `FINDING in ${result.name}: ${text}\n  repeat: npm run soak -- --only ${result.name} --seed ${own} --rounds 1${small}`,
        );
      }
      result.rounds++;
      result.seconds += (Date.now() - begun) / 1000;
    }
  } finally {
    await library.close();
  }
  return { results, findings };
}

/** The scenario that goes next; undefined if all have had their rounds. */
function next(results, rounds) {
  const left = results.filter((result) => result.rounds < rounds);
  const late = ({ rounds, seconds, share }) => (rounds === 0 ? -1 : seconds / share);
  return left.reduce((a, b) => (a && late(a) <= late(b) ? a : b), undefined);
}

/** Runs one round and returns its findings. */
async function runRound(scenario, seed, library, counts, size) {
  const context = await roundContext(seed, library, counts, size);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it did not end within ${scenario.limit} s`)), scenario.limit * 1000);
  });
  try {
    await Promise.race([scenario.run(context), late]);
  } catch (error) {
    context.finding(error.stack ?? String(error));
  } finally {
    clearTimeout(timer);
    await context.close();
  }
  return context.findings;
}

/** Formats the counts of all scenarios as lines of text. */
export function table(results) {
  const lines = results.map(({ name, rounds, seconds, counts }) => {
    const events = Object.entries(counts).map(([what, n]) => `${what} ${n}`);
    return `${name.padEnd(20)} ${String(rounds).padStart(7)} rounds ${seconds.toFixed(0).padStart(6)} s   ${events.join(', ')}`;
  });
  return lines.join('\n');
}

async function main() {
  // An exit, so that what scenarios have made outside of their folders is removed.
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])
    process.once(signal, () => process.exit(code));
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '30' },
      seed: { type: 'string', default: '1' },
      only: { type: 'string' },
      rounds: { type: 'string' },
      size: { type: 'string', default: '1' },
    },
  });
  const only = values.only?.split(',');
  const scenarios = SCENARIOS.filter(({ name }) => !only || only.includes(name));
  const unknown = only?.find((name) => !SCENARIOS.some((s) => s.name === name));
  const [minutes, seed, rounds, size] = [values.minutes, values.seed, values.rounds ?? 'Infinity', values.size].map(Number);
  if (unknown !== undefined)
    throw new Error(`there is no scenario ${unknown}; use one of ${SCENARIOS.map((s) => s.name).join(', ')}.`);
  if (!(minutes > 0) || !Number.isSafeInteger(seed) || !(rounds >= 1) || !(size > 0))
    throw new Error('--minutes, --rounds and --size must be positive numbers, and --seed an integer.');
  const { results, findings } = await soak(scenarios, { minutes, seed, rounds, size, log: (text) => console.log(text) });
  console.log(table(results));
  console.log(findings.length ? `${findings.length} findings` : 'no finding');
  process.exitCode = findings.length ? 1 : 0;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
