/**
 * `npm run soak` tests the library with random faults until the time is over. Scenarios take turns. Each round of a scenario has
 * its own seed, which repeats it, apart from the order in which the system delivers bytes. The program prints how often each
 * scenario ran, what happened, and every finding with the command that repeats it. It exits with 1 if there is a finding.
 *
 *   npm run soak -- [--minutes 30] [--seed 1] [--only NAME] [--rounds N]
 *
 * A scenario is an entry of SCENARIOS: `{ name, limit, run(context) }`. `run` does one round. If something is wrong it throws,
 * calls `context.finding(text)`, or takes more than `limit` seconds. context.mjs documents the context.
 */
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { createLibrary, roundContext } from './context.mjs';
import { hub } from './hub.mjs';
import { killDownload } from './kill_download.mjs';
import { safetensors } from './safetensors.mjs';
import { twoProcesses } from './two_processes.mjs';

export const SCENARIOS = [hub, safetensors, twoProcesses, killDownload];

/**
 * Runs rounds of the scenarios in turn until `minutes` have passed, at least one of each, or `rounds` of each. Returns counts of
 * events by scenario, and findings.
 *
 * @param {{ name: string, limit: number, run(context: any): unknown }[]} scenarios
 * @param {{ minutes: number, seed: number, rounds?: number, log?: (text: string) => void }} options
 */
export async function soak(scenarios, { minutes, seed, rounds = Number.POSITIVE_INFINITY, log = () => {} }) {
  const library = await createLibrary();
  const end = Date.now() + minutes * 60_000;
  const results = scenarios.map(({ name }) => ({ name, rounds: 0, seconds: 0, counts: {} }));
  const findings = [];
  try {
    for (let round = 0; round < rounds && (round === 0 || Date.now() < end); round++) {
      for (const [i, scenario] of scenarios.entries()) {
        if (round > 0 && Date.now() >= end) break;
        const result = results[i];
        const begun = Date.now();
        for (const text of await runRound(scenario, seed + round, library, result.counts)) {
          findings.push({ scenario: scenario.name, seed: seed + round, text });
          log(
            `FINDING in ${scenario.name}: ${text}\n  repeat: npm run soak -- --only ${scenario.name} --seed ${seed + round} --rounds 1`,
          );
        }
        result.rounds++;
        result.seconds += (Date.now() - begun) / 1000;
      }
    }
  } finally {
    await library.close();
  }
  return { results, findings };
}

/** Runs one round and returns its findings. */
async function runRound(scenario, seed, library, counts) {
  const context = await roundContext(seed, library, counts);
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
    return `${name.padEnd(16)} ${String(rounds).padStart(7)} rounds ${seconds.toFixed(0).padStart(6)} s   ${events.join(', ')}`;
  });
  return lines.join('\n');
}

async function main() {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '30' },
      seed: { type: 'string', default: '1' },
      only: { type: 'string' },
      rounds: { type: 'string' },
    },
  });
  const scenarios = SCENARIOS.filter(({ name }) => !values.only || name === values.only);
  const [minutes, seed, rounds] = [values.minutes, values.seed, values.rounds ?? 'Infinity'].map(Number);
  if (!scenarios.length)
    throw new Error(`there is no scenario ${values.only}; use one of ${SCENARIOS.map((s) => s.name).join(', ')}.`);
  if (!(minutes > 0) || !Number.isSafeInteger(seed) || !(rounds >= 1))
    throw new Error('--minutes and --rounds must be positive numbers, and --seed an integer.');
  const { results, findings } = await soak(scenarios, { minutes, seed, rounds, log: (text) => console.log(text) });
  console.log(table(results));
  console.log(findings.length ? `${findings.length} findings` : 'no finding');
  process.exitCode = findings.length ? 1 : 0;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
