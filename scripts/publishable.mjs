/** `npm publish` runs this first: it refuses to publish what npm's page, JSR or a reader of the changelog would find incomplete. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { root } from './setup.mjs';

/**
 * What is missing before a release, in words; an empty list if nothing is.
 *
 * @param {{ manifest: object, deno: object, changelog: string }} files package.json, deno.json and CHANGELOG.md
 */
export function missing({ manifest, deno, changelog }) {
  const { version } = manifest;
  // npm's page takes from it where the README's relative links and pictures are.
  const fields = ['repository', 'homepage', 'bugs'].filter((name) => !manifest[name]);
  return [
    ...fields.map((name) => `package.json has no ${name}: give the address of the public repository`),
    ...(deno.version === version ? [] : [`deno.json has version ${deno.version}, package.json ${version}: make them the same`]),
    ...(changelog.includes(`\n## ${version}`) ? [] : [`CHANGELOG.md has no heading "## ${version} (date)": rename Unreleased`]),
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const read = (name) => readFileSync(root + name, 'utf8');
  const files = {
    manifest: JSON.parse(read('package.json')),
    deno: JSON.parse(read('deno.json')),
    changelog: read('CHANGELOG.md'),
  };
  const list = missing(files);
  for (const text of list) process.stderr.write(`${text}\n`);
  process.exitCode = list.length ? 1 : 0;
}
