/** A short run of `npm run soak`, and proof that it reports what goes wrong. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { faults } from '../../scripts/soak/commands.mjs';
import { SCENARIOS, soak, table } from '../../scripts/soak/index.mjs';
import { mutated } from '../../scripts/soak/mutated.mjs';
import { mutatedIdx } from '../../scripts/soak/mutated_idx.mjs';
import { run } from '../platform/run_program.js';

it('a small round of each scenario finds no fault, and the table lists every scenario', async () => {
  // It takes a software GPU minutes to compile kernels for each new device; recovery.test.ts loses some.
  const names = SCENARIOS.map(({ name }: { name: string }) => name).filter((name: string) => name !== 'lost-device');
  const args = ['scripts/soak/index.mjs', '--only', names.join(','), '--rounds', '1', '--size', '0.02', '--seed', '7'];
  const { status, stdout } = await run(process.execPath, args);
  for (const name of names) expect(stdout).toMatch(new RegExp(`^${name} +1 rounds`, 'm'));
  expect(stdout.trim()).toMatch(/\nno finding$/);
  expect(status).toBe(0);
});

it('reports scenarios that throw, hang or find a fault, with their seeds', async () => {
  const scenarios = [
    { name: 'throws', limit: 5, run: async () => Promise.reject(new Error('wrong')) },
    { name: 'hangs', limit: 0.05, run: () => new Promise<void>(() => {}) },
    {
      name: 'finds',
      limit: 5,
      run: async (context: { random(): number; count(what: string): void; finding(text: string): void }) => {
        context.count('tries');
        if (context.random() >= 0) context.finding('odd');
      },
    },
  ];
  const log: string[] = [];
  const options = { minutes: 1, seed: 3, rounds: 2, size: 0.5, log: (text: string) => void log.push(text) };
  const { results, findings } = await soak(scenarios, options);
  const found = findings.map(
    ({ scenario, seed, text }: (typeof findings)[number]) => `${seed} ${scenario}: ${text.split('\n')[0]}`,
  );
  // Scenarios take turns by the time that they have had.
  expect(found.sort()).toEqual(
    [3, 4].flatMap((seed) => [
      `${seed} finds: odd`,
      `${seed} hangs: Error: it did not end within 0.05 s`,
      `${seed} throws: Error: wrong`,
    ]),
  );
  expect(log[0]).toMatch(/^FINDING in throws: Error: wrong[\s\S]*npm run soak -- --only throws --seed 3 --rounds 1 --size 0.5$/);
  expect(table(results)).toMatch(/^finds +2 rounds +0 s {3}tries 2$/m);
});

it('a damaged file that hangs, takes memory or throws what is not typed is a finding', async () => {
  const url = new URL('./soak_format.mjs', import.meta.url).href;
  const scenario = mutated({ ...mutatedIdx.format, url, files: 3 });
  const { findings } = await soak([scenario], { minutes: 1, seed: 1, rounds: 1 });
  // On a busy machine the second file may take too long as well.
  expect(findings.map(({ text }: { text: string }) => text.split('\n')[0])).toEqual(
    expect.arrayContaining([
      'file 0 of the round: TypeError: not typed',
      expect.stringMatching(/^file 1 of the round, of 0 bytes: memory rose to \d+ MB$/),
      expect.stringMatching(/^file 2 of the round took \d{4,} ms$/),
    ]),
  );
});

it('what a command leaves must be what an undisturbed one leaves', async () => {
  const place = await mkdtemp(join(tmpdir(), 'aim-soak-test-'));
  try {
    await writeFile(join(place, 'a.json'), '{}');
    const library = { isTemporary: (name: string) => name.endsWith('.tmp') };
    const wrong = (state: string, files: Record<string, string>, stdout?: string) => {
      const sound = { files: new Map(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)])), stdout: 'fid 1' };
      return faults('evaluate', place, sound, state, library, stdout);
    };
    expect(await wrong('complete', { 'a.json': '{}' }, 'fid 1')).toEqual([]);
    expect(await wrong('complete', { 'a.json': '[]', 'b.json': '' }, 'fid 2')).toEqual([
      'a.json differs from that of an undisturbed run',
      'b.json is missing',
      'the figures are fid 2, and of an undisturbed run fid 1',
    ]);
    await writeFile(join(place, 'a.json'), '{');
    await writeFile(join(place, 'b.tmp'), '');
    expect(await wrong('killed', {})).toEqual([expect.stringMatching(/^a.json: .*JSON/), 'a.json does not belong there']);
    expect(await wrong('stopped', { 'a.json': '{' })).toEqual(expect.arrayContaining(['b.tmp is left']));
  } finally {
    await rm(place, { recursive: true });
  }
});

it('the damage of a file depends on the seed of the round and its number alone', async () => {
  const url = new URL('./soak_echo.mjs', import.meta.url).href;
  const echo = async (seed: number, files: number) => {
    const { findings } = await soak([mutated({ name: 'echo', url, files })], { minutes: 1, seed, rounds: 1 });
    return findings.map(({ text }: { text: string }) => text).sort();
  };
  // 400 files are divided among processes where there is more than one processor, and 4 are not.
  const many = await echo(5, 400);
  expect(new Set(many.map((text: string) => text.replace(/^.*: /, ''))).size).toBeGreaterThan(350);
  expect(many).toEqual(expect.arrayContaining(await echo(5, 4)));
  expect(await echo(6, 4)).not.toEqual(await echo(5, 4));
});

it('shares time as the scenarios ask for', async () => {
  const scenario = (name: string, share?: number) => ({
    name,
    limit: 5,
    share,
    run: () => new Promise((done) => setTimeout(done, 20)),
  });
  const { results } = await soak([scenario('a', 4), scenario('b')], { minutes: 1 / 60, seed: 1 });
  expect(results[0].rounds / results[1].rounds).toBeGreaterThan(2);
});

it('exits with 1 for invalid options', async () => {
  for (const options of ['--only=nothing', '--minutes=0', '--seed=x', '--size=0']) {
    const { status, stderr } = await run(process.execPath, ['scripts/soak/index.mjs', options]);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/there is no scenario nothing|must be positive/)]);
  }
});
