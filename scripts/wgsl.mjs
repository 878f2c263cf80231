/**
 * Parses a WGSL file into the structure that src/ops/shader_file.ts describes, so that no other code has to search shader text.
 * These lines are directives or declarations. They must begin in the first column:
 *   #include "lib/x.wgsl"             the text of another file, once in a kernel
 *   #optional "lib/x.wgsl"            a file that a plan may include by name (`include: ['x']`)
 *   #repeat i N                       the lines up to #end N times, with 0, 1, … for $i; N is a number or a constant of the plan
 *   // @section NAME                  text that a plan may take (`sections: ['NAME']`)
 *   // @entry NAME, SIZE threads      a section that is launched: workgroups of SIZE call its function NAME
 *   // @in|out|inout x?: f32 [m, n]   a binding of the section with its shape; `?` marks one that may be left out
 *   const, alias, var<workgroup>      declarations of one line, from which tests compute sizes
 */
import { readFileSync } from 'node:fs';
import { dirname, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const SHADERS = resolve(ROOT, 'shaders');
const CHECK = resolve(ROOT, 'src/backend/wgsl/check.ts');

/** Declarations, and the text between their name and their value. */
const DECLARATIONS = { const: ' = ', alias: ' = ', 'var<workgroup>': ': ' };

/**
 * @param {string} text the text of the file
 * @param {string} file its path relative to shaders/
 */
export function parseShader(text, file) {
  const shader = { file, head: [], sections: {}, optional: [] };
  /** The section that lines are added to, or undefined before the first section. */
  let section;
  /** The repetitions that are open, the innermost last. */
  const repeats = [];
  /** The piece of plain text that lines are added to. */
  let open;
  const fail = (line, what) => {
    throw new Error(`shaders/${file}:${line} ${what}`);
  };
  for (const [i, row] of text.split('\n').entries()) {
    const line = i + 1;
    const pieces = (repeats.at(-1) ?? section)?.pieces ?? shader.head;
    const special = (piece) => {
      open = undefined;
      if (piece) pieces.push(piece);
    };
    const directive = row.startsWith('// @') ? row.slice(4) : row.startsWith('#') ? row : '';
    const word = directive.split(' ', 1)[0];
    const rest = directive.slice(word.length + 1);
    const declaration = Object.keys(DECLARATIONS).find((keyword) => row.startsWith(`${keyword} `));
    if (word === '#include' || word === '#optional') {
      if (!rest.startsWith('"') || !rest.endsWith('"')) fail(line, `${word} has no file in quotation marks`);
      const include = rest.slice(1, -1);
      special(word === '#include' ? { include } : undefined);
      if (word === '#optional') shader.optional.push(include);
    } else if (word === '#repeat') {
      if (!/^\w+ \w+$/.test(rest)) fail(line, '#repeat needs a name and a number of times');
      const repeat = { repeat: rest, pieces: [] };
      special(repeat);
      repeats.push(repeat);
    } else if (word === '#end') {
      if (!repeats.pop()) fail(line, '#end without #repeat');
      special();
    } else if (word === 'entry' || word === 'section') {
      const [name, size] = rest.split(', ');
      if (shader.sections[name]) fail(line, `there is a section ${name} already`);
      section = { line, bindings: [], pieces: [] };
      shader.sections[name] = section;
      special();
      if (word === 'section') continue;
      if (!size?.endsWith(' threads')) fail(line, 'an entry is "// @entry NAME, SIZE threads"');
      section.threads = size.slice(0, -' threads'.length);
      section.builtins = parameters(text.split('\n').slice(line), name) ?? fail(line, `there is no function ${name} below`);
    } else if (word === 'in' || word === 'out' || word === 'inout') {
      if (!section) fail(line, 'a binding belongs to a section');
      section.bindings.push({ line, text: directive });
      special();
    } else if (word) {
      fail(line, `"${word}" is not known here`);
    } else if (declaration) {
      const between = DECLARATIONS[declaration];
      const at = row.indexOf(between);
      if (at < 0 || !row.endsWith(';')) fail(line, `a ${declaration} at the first column must end on its line`);
      special({
        line,
        declare: declaration,
        name: row.slice(declaration.length + 1, at),
        value: row.slice(at + between.length, -1),
      });
    } else if (open) {
      open.text += `\n${row}`;
    } else {
      open = { line, text: row };
      pieces.push(open);
    }
  }
  if (repeats.length) fail(text.split('\n').length, `#repeat ${repeats[0].repeat} has no #end`);
  return shader;
}

/** Returns the names of a function's parameters, or undefined if there is no such function. */
function parameters(rows, name) {
  const row = rows.find((r) => r.startsWith(`fn ${name}(`));
  return row
    ?.slice(row.indexOf('(') + 1, row.indexOf(')'))
    .split(', ')
    .map((parameter) => parameter.split(': ')[0]);
}

/**
 * Returns pieces for a release. Comments, indentation, line ends within functions and blanks between words and signs are removed,
 * since they only increase the download. Line numbers and binding directives are removed and declarations become plain text,
 * since only readers, src/backend/wgsl/check.ts and tests use them.
 */
function minified(pieces) {
  const small = [];
  let text = '';
  const flush = () => {
    const rest = text
      .replace(/^[ \t]+/gm, '')
      .replace(/\/\/.*$/gm, '')
      .replace(/(?<=[,;:{}]) | (?=[{}])/g, '')
      .replace(/(?<=[\w\])]) ([-+*/%<>=!&|]+) (?=[\w($!])/g, '$1')
      .replace(/\n+/g, '\n')
      .replace(/(?<=[;,({}])\n/g, '')
      .replace(/\b(if|for|while|return|fn \w+) (?=\()/g, '$1')
      .trim();
    if (rest) small.push(rest);
    text = '';
  };
  for (const piece of pieces) {
    if (piece.include) {
      flush();
      small.push(piece);
    } else if (piece.repeat) {
      flush();
      small.push({ ...piece, pieces: minified(piece.pieces) });
    } else if (piece.declare) text += `${piece.declare} ${piece.name}${DECLARATIONS[piece.declare]}${piece.value};\n`;
    else text += `${piece.text}\n`;
  }
  flush();
  return small;
}

/** Returns a shader as a module with a ShaderFile as its default export. Files that it includes are modules of their own. */
export function shaderModule(path, { minify, training }) {
  const file = relative(SHADERS, path).split(sep).join('/');
  const { head, sections, optional } = parseShader(readFileSync(path, 'utf8'), file);
  const names = [];
  const imported = (include) => {
    if (!names.includes(include)) names.push(include);
    return `file${names.indexOf(include)}`;
  };
  const list = (pieces) =>
    `[${(minify ? minified(pieces) : pieces).map((piece) => (piece.include ? imported(piece.include) : JSON.stringify(piece))).join()}]`;
  const wanted = Object.entries(sections).filter(([name]) => training || !name.includes('backward'));
  const entries = wanted.map(([name, { pieces, line, bindings, ...entry }]) => {
    const rest = JSON.stringify(minify ? entry : { ...entry, line, bindings });
    return `${name}:${rest.slice(0, -1)}${rest === '{}' ? '' : ','}pieces:${list(pieces)}}`;
  });
  const members = [...(minify ? [] : [`file:${JSON.stringify(file)}`]), `head:${list(head)}`, `sections:{${entries.join()}}`];
  members.push(
    `optional:{${optional.map((name) => `${JSON.stringify(name.slice('lib/'.length, -'.wgsl'.length))}:${imported(name)}`).join()}}`,
  );
  if (!minify) members.push('check');
  return [
    ...names.map((name, i) => `import file${i} from ${JSON.stringify(resolve(dirname(path), name))};`),
    ...(minify ? [] : [`import { check } from ${JSON.stringify(CHECK)};`]),
    `export default {${members.join()}};`,
  ].join('\n');
}
