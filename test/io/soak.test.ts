/** A short run of `npm run soak`, and proof that it reports what goes wrong. */
import { expect, it } from 'vitest';
import { SCENARIOS, soak, table } from '../../scripts/soak/index.mjs';
import { run } from '../platform/run_program.js';

it('five seconds find no fault, and the table lists every scenario', async () => {
  const { status, stdout } = await run(process.execPath, ['scripts/soak/index.mjs', '--minutes', String(5 / 60), '--seed', '7'], {
    env: { ...process.env, AIM_MUTATIONS: '500' },
  });
  for (const { name } of SCENARIOS) expect(stdout).toMatch(new RegExp(`^${name} +[1-9]\\d* rounds`, 'm'));
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
  const options = { minutes: 1, seed: 3, rounds: 2, log: (text: string) => void log.push(text) };
  const { results, findings } = await soak(scenarios, options);
  expect(findings.map(({ scenario, seed, text }: (typeof findings)[number]) => [scenario, seed, text.split('\n')[0]])).toEqual(
    [3, 4].flatMap((seed) => [
      ['throws', seed, 'Error: wrong'],
      ['hangs', seed, 'Error: it did not end within 0.05 s'],
      ['finds', seed, 'odd'],
    ]),
  );
  expect(log[0]).toMatch(/^FINDING in throws: Error: wrong[\s\S]*npm run soak -- --only throws --seed 3 --rounds 1$/);
  expect(table(results)).toMatch(/^finds +2 rounds +0 s {3}tries 2$/m);
});

it('exits with 1 for invalid options', async () => {
  for (const options of ['--only=nothing', '--minutes=0', '--seed=x']) {
    const { status, stderr } = await run(process.execPath, ['scripts/soak/index.mjs', options]);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/there is no scenario nothing|must be positive/)]);
  }
});
