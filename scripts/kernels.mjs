/**
 * Writes build/draw.ts and build/train.ts, which export the kernels of assembly/<op>.ts to the two WASM binaries. Kernels are the
 * functions with names that begin with the op's name. `draw` contains what drawing needs. `train` is a separate binary that only
 * training and evaluation load. It contains the backward entries, and every kernel of a file that begins with `// @train`.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('..', import.meta.url));
const entries = { draw: [], train: [] };

for (const file of readdirSync(`${root}assembly`).sort()) {
  if (!file.endsWith('.ts')) continue;
  const op = file.slice(0, -'.ts'.length);
  const text = readFileSync(`${root}assembly/${file}`, 'utf8');
  const names = exportedFunctions(ts.createSourceFile(file, text, ts.ScriptTarget.ES2022)).filter((n) => n.startsWith(`${op}_`));
  const trains = (name) => text.startsWith('// @train') || name.startsWith(`${op}_backward`);
  for (const target of ['draw', 'train']) {
    const own = names.filter((name) => trains(name) === (target === 'train'));
    if (own.length) entries[target].push(`export { ${own.join(', ')} } from '../assembly/${op}';`);
  }
}

mkdirSync(`${root}build`, { recursive: true });
for (const [target, lines] of Object.entries(entries)) {
  const heap = 'export function heap_base(): usize {\n  return __heap_base;\n}';
  writeFileSync(`${root}build/${target}.ts`, `// Made by scripts/kernels.mjs.\n${lines.join('\n')}\n\n${heap}\n`);
}

/** @param {ts.SourceFile} source */
function exportedFunctions(source) {
  return source.statements
    .filter((s) => ts.isFunctionDeclaration(s) && s.modifiers?.some((m) => m.kind === ts.SyntaxKind.ExportKeyword))
    .map((s) => s.name.text);
}
