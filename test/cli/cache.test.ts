/** The built `aim` command with models from a server, and `aim cache`. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fixture } from '../goldens.js';
import { FaultyServer, sha256 } from '../io/faulty_server.js';
import { run } from '../platform/run_program.js';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const commit = 'd'.repeat(40);
let dir: string;
let server: FaultyServer;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aim-cli-cache-'));
  server = await FaultyServer.start();
  for (const file of ['config.json', 'model.safetensors'])
    for (const at of ['main', commit])
      server.files[`/ann/model/resolve/${at}/${file}`] = {
        body: readFileSync(`${fixture('mamba2-adaln')}/${file}`),
        headers: { 'x-repo-commit': commit },
      };
});
afterAll(async () => {
  await server.close();
  rmSync(dir, { recursive: true, force: true });
});

const aim = (...args: string[]) =>
  run(process.execPath, [cli, ...args], {
    cwd: dir,
    env: { ...process.env, HF_ENDPOINT: server.url, HF_TOKEN: 'mine', AIM_CACHE: join(dir, 'cache') },
  });

it('a model by repository id is downloaded with a progress bar, cached, used, exported, listed and cleared', async () => {
  // Slow enough for the progress bar to appear.
  server.delay = 400;
  const first = await aim('generate', 'ann/model', '--device', 'wasm', '--count', '1', '--out', 'a.png');
  expect(first.status, first.stderr).toBe(0);
  expect(first.stderr).toMatch(/downloading .*MB/);
  expect(new Set(server.authorizations)).toEqual(new Set(['Bearer mine']));
  server.delay = 0;
  server.take();
  const again = await aim('generate', 'ann/model', '--revision', commit, '--device', 'wasm', '--count', '1', '--out', 'b.png');
  expect(again.status, again.stderr).toBe(0);
  expect(server.take()).toContain(`GET /ann/model/resolve/${commit}/model.safetensors`);
  expect(sha256(readFileSync(join(dir, 'a.png')))).toBe(sha256(readFileSync(join(dir, 'b.png'))));
  const exported = await aim('export', 'ann/model', '--dtype', 'F32', '--out', 'mine');
  expect(exported.status, exported.stderr).toBe(0);
  expect(server.take()).toEqual(['GET /ann/model/resolve/main/config.json']);

  const size = server.files[`/ann/model/resolve/main/model.safetensors`]!.body.length;
  const listed = await aim('cache', 'ann/model');
  expect(listed.stdout).toContain(`${(size / 1e6).toFixed(1)} MB  ${server.url}/ann/model/resolve/main/model.safetensors\n`);
  expect(listed.stderr).toMatch(/^4 files, /);
  expect((await aim('cache', 'bob/model')).stderr).toMatch(/^0 files, 0\.0 MB/);
  expect((await aim('cache', '--clear')).stderr).toMatch(/, removed\n$/);
  expect((await aim('cache')).stdout).toBe('');
});

it('a repository that does not exist is an error with an explanation', async () => {
  const { status, stderr } = await aim('info', 'ann/none', '--device', 'wasm');
  expect(status).toBe(2);
  expect(stderr).toMatch(
    /^aim: \S+\/ann\/none has no config\.json .* \(HTTP 404\): there is no such model.*no local folder ann\/none/,
  );
});
