/** The package as `npm pack` makes it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

export function npm(args: string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync('npm', args, { cwd, encoding: 'utf8', shell: process.platform === 'win32' });
  if (status !== 0) throw new Error(`npm ${args.join(' ')} failed:\n${stdout}${stderr}`);
  return stdout;
}

export function pack(): { file: string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), 'aim-pack-'));
  npm(['pack', '--ignore-scripts', '--silent', '--pack-destination', dir], root);
  return { file: join(dir, readdirSync(dir)[0]!), remove: () => rmSync(dir, { recursive: true, force: true }) };
}
