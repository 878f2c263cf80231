/**
 * Writes build/draw.ts, build/further.ts and build/train.ts, which export the kernels of assembly/<op>.ts to WASM binaries. Kernels
 * are the functions with names that begin with the op's name. `draw` contains what every drawing needs. `further` contains the
 * kernels of a file that begins with `// @further`: those of few models, or of options that few pages use. `train` is what only
 * training and evaluation load: the backward entries, and every kernel of a file that begins with `// @train`.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('..', import.meta.url));
const entries = { draw: [], further: [], train: [] };

for (const file of readdirSync(`${root}assembly`).sort()) {
  if (!file.endsWith('.ts')) continue;
  const op = file.slice(0, -'.ts'.length);
  const text = readFileSync(`${root}assembly/${file}`, 'utf8');
  const names = exportedFunctions(ts.createSourceFile(file, text, ts.ScriptTarget.ES2022)).filter((n) => n.startsWith(`${op}_`));
  const ofFile = /^\/\/ @(further|train)\n/.exec(text)?.[1] ?? 'draw';
  for (const target of Object.keys(entries)) {
    const own = names.filter((name) => (name.startsWith(`${op}_backward`) ? 'train' : ofFile) === target);
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
