/**
 * `npm run site` builds the documentation and the studio into `out/site`, static files that any host can serve from any path: the
 * README, the guides, the API reference (TypeDoc) and, in `studio/`, the studio. It fails if a link leads nowhere.
 */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Application } from 'typedoc';
import { build, install, root } from './setup.mjs';
import { buildStudio } from './studio.mjs';

/** The guides in the order of their list, then the documents for those who look further. */
function documents() {
  const guides = readFileSync(`${root}docs/guides/README.md`, 'utf8').matchAll(/\]\(([\w-]+\.md)\)/g);
  const names = [...new Set([...guides].map((match) => `docs/guides/${match[1]}`))];
  return [
    'docs/guides/README.md',
    ...names,
    'docs/training.md',
    'docs/measurements.md',
    'docs/architecture.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
  ];
}

/** Writes the reference and the documents into the folder `out`. */
export async function buildSite(out) {
  rmSync(out, { recursive: true, force: true });
  const { entryPoints, tsconfig, name, excludeInternal, excludePrivate, excludeProtected, excludeExternals } = JSON.parse(
    readFileSync(`${root}typedoc.json`, 'utf8'),
  );
  const at = (path) => root + path;
  const app = await Application.bootstrapWithPlugins({
    ...{ name, excludeInternal, excludePrivate, excludeProtected, excludeExternals },
    options: 'none',
    entryPoints: entryPoints.map(at),
    tsconfig: at(tsconfig),
    plugin: [at('scripts/typedoc.mjs')],
    readme: at('README.md'),
    projectDocuments: documents().map(at),
    disableSources: true,
    disableGit: true,
    treatWarningsAsErrors: true,
    validation: { notExported: false, invalidLink: true },
    logLevel: 'Warn',
  });
  const project = await app.convert();
  if (!project) throw new Error('the reference could not be made');
  await app.generateDocs(project, out);
  if (app.logger.hasErrors() || app.logger.hasWarnings()) throw new Error('the reference has warnings');
  cpSync(`${root}llms.txt`, join(out, 'llms.txt'));
}

/** Links of the pages of a folder that lead to no file of it, as `page: link`. */
export function brokenLinks(folder) {
  const files = new Set(readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => name.replaceAll('\\', '/')));
  return [...files]
    .filter((page) => page.endsWith('.html'))
    .flatMap((page) => {
      const links = readFileSync(join(folder, page), 'utf8').matchAll(/(?:href|src)="([^"#?]+)[^"]*"/g);
      const local = [...links].map((match) => match[1]).filter((link) => !/^[a-z]+:/.test(link));
      const path = (link) => relative(folder, join(folder, dirname(page), decodeURI(link))).replaceAll('\\', '/');
      return local.filter((link) => !files.has(path(link))).map((link) => `${page}: ${link}`);
    });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  install();
  build();
  const out = `${root}out/site`;
  await buildSite(out);
  await buildStudio(`${out}/studio`);
  const broken = brokenLinks(out);
  for (const link of broken) process.stderr.write(`a link leads nowhere: ${link}\n`);
  process.exitCode = broken.length ? 1 : 0;
  process.stdout.write(`${out}: static files for any host\n`);
}
