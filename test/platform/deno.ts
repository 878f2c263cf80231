/** Runs Deno from the npm package `deno`, which contains the binary. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { LAVAPIPE, SWIFTSHADER } from '../vulkan_driver.js';
import { type Ran, run } from './run_program.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Path of the binary, or the reason why there is none. */
export function findDeno(): { deno: string } | { reason: string } {
  try {
    return { deno: createRequire(import.meta.url)('deno/install_api.cjs').runInstall() };
  } catch (error) {
    return { reason: `no Deno for this system: ${(error as Error).message}` };
  }
}

/** Runs a module with permission to read and write files, with the project's deno.json. */
export function runDeno(deno: string, script: string, args: string[]): Promise<Ran> {
  const options = ['--quiet', '--no-check', '--cached-only', `--config=${root}deno.json`, '--allow-read', '--allow-write'];
  return run(deno, ['run', ...options, script, ...args], { env: { ...process.env, ...driver() } });
}

/** Another Vulkan driver than the other tests have, if they have the one in Chromium's package. */
function driver(): NodeJS.ProcessEnv {
  return process.env.VK_ICD_FILENAMES === SWIFTSHADER && existsSync(LAVAPIPE) ? { VK_ICD_FILENAMES: LAVAPIPE } : {};
}
