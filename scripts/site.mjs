/**
 * `npm run site` builds the documentation and the studio into `out/site`, static files that any host can serve from any path: the
 * README, the guides, the API reference (TypeDoc) and, in `studio/`, the studio. It fails if a link leads nowhere.
 */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Application, Converter, TSConfigReader } from 'typedoc';
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
    'models/emoji/README.md',
    'models/fashion-mnist/README.md',
    'docs/measurements.md',
    'docs/architecture.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
  ];
}

/** Where the link to the studio leads, before each page has its own. */
const STUDIO = 'https://studio.invalid/';

/**
 * Writes the reference and the documents into the folder `out`.
 *
 * @param {string} out
 * @param {object} own TypeDoc's options that are to be others.
 */
export async function buildSite(out, own = {}) {
  rmSync(out, { recursive: true, force: true });
  const { entryPoints, tsconfig, name, excludeInternal, excludePrivate, excludeProtected, excludeExternals } = JSON.parse(
    readFileSync(`${root}typedoc.json`, 'utf8'),
  );
  const at = (path) => root + path;
  const settings = {
    ...{ name, excludeInternal, excludePrivate, excludeProtected, excludeExternals },
    entryPoints: entryPoints.map(at),
    tsconfig: at(tsconfig),
    plugin: [at('scripts/typedoc.mjs')],
    readme: at('README.md'),
    projectDocuments: documents().map(at),
    highlightLanguages: ['js', 'ts', 'tsx', 'html', 'sh', 'wgsl'],
    navigationLinks: { Studio: STUDIO },
    disableSources: true,
    disableGit: true,
    validation: { notExported: false, invalidLink: true },
    logLevel: 'Warn',
    ...own,
  };
  // Not typedoc.json, which is for docs/api.
  const app = await Application.bootstrapWithPlugins(settings, [new TSConfigReader()]);
  // A document is called what its first line says, not by its path.
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_context, document) => {
    const heading = /^# (.*)$/m.exec(document.content.map(({ text }) => text).join(''));
    if (heading) document.name = heading[1];
  });
  const project = await app.convert();
  if (!project) throw new Error('the reference could not be made');
  await app.generateDocs(project, out);
  if (app.logger.hasErrors() || app.logger.hasWarnings()) throw new Error('the reference has warnings');
  cpSync(`${root}llms.txt`, join(out, 'llms.txt'));
  leadInside(out);
}

/** Links to docs/api, of which TypeDoc has made a copy, lead to the reference of the site instead, and those to the studio to its folder. */
function leadInside(out) {
  const index = readFileSync(`${root}docs/api/README.md`, 'utf8');
  const copies = readdirSync(join(out, 'media')).filter(
    (name) => name.endsWith('.md') && readFileSync(join(out, 'media', name), 'utf8') === index,
  );
  for (const page of pagesOf(out)) {
    const text = readFileSync(join(out, page), 'utf8');
    const studio = `${'../'.repeat(page.split('/').length - 1)}studio/`;
    const changed = copies.reduce(
      (html, name) => html.replaceAll(`media/${name}"`, 'modules.html"'),
      text.replaceAll(STUDIO, studio),
    );
    if (changed !== text) writeFileSync(join(out, page), changed);
  }
  for (const name of copies) rmSync(join(out, 'media', name));
}

/** The paths of all files of a folder. */
const filesOf = (folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => name.replaceAll('\\', '/'));
const pagesOf = (folder) => filesOf(folder).filter((name) => name.endsWith('.html'));

/** Links of the pages of a folder that lead to no file of it, as `page: link`. */
export function brokenLinks(folder) {
  const files = new Set(filesOf(folder));
  return pagesOf(folder).flatMap((page) => {
    const links = readFileSync(join(folder, page), 'utf8').matchAll(/(?:href|src)="([^"#?]+)[^"]*"/g);
    const local = [...links].map((match) => match[1]).filter((link) => !/^[a-z]+:/.test(link));
    // A host answers an address that ends with a slash with index.html.
    const target = (link) =>
      relative(folder, join(folder, dirname(page), decodeURI(link).replace(/\/$/, '/index.html'))).replaceAll('\\', '/');
    return local.filter((link) => !files.has(target(link))).map((link) => `${page}: ${link}`);
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
