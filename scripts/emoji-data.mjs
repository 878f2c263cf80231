/**
 * `npm run emoji-data -- [OUT] [--icons]` makes a data set of colour emoji for models of 64×64 from seven free sets of drawings: 72×72
 * on white, so that random crops move a drawing and cut nothing off.
 *
 * With `--icons` there are six classes, 64×64, as PNG files of the kinds that people have: of ten pictures six have colours and alpha,
 * three a palette with transparent entries, and one grey and alpha.
 *
 * It writes class folders into OUT (default out/emoji): `train/CLASS/SET-CODE.png` and `val/CLASS/…`, with ATTRIBUTION.md. One
 * emoji in ten of each class is held out in all of its drawings, so that no picture in `val` has a version from another set in `train`.
 * Skin tones and drawings without a Unicode emoji of that name are left out. The packages of drawings (200 MB) are downloaded
 * from npm on first use, into out/emoji-packages. Nothing in the project depends on them.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { encode } from 'fast-png';
import { CLASSES } from './emoji-classes.mjs';
import { root } from './setup.mjs';

/** Share of the emoji of each class that are held out. */
const HELD_OUT = 0.1;
/** A class with fewer pictures is too small to learn and is left out. */
const LEAST = 60;

const SETS = {
  noto: '@iconify-json/noto@1.2.9',
  'noto-v1': '@iconify-json/noto-v1@1.2.5',
  fxemoji: '@iconify-json/fxemoji@1.2.2',
  'fluent-emoji': '@iconify-json/fluent-emoji@1.2.7',
  'fluent-emoji-flat': '@iconify-json/fluent-emoji-flat@1.2.6',
  twemoji: '@iconify-json/twemoji@1.2.5',
  emojione: '@iconify-json/emojione@1.2.3',
};
/** Drawings that make resvg 2.6.2 end the process, because they have a pattern or filter without a size. */
const REFUSED = new Set([
  'noto/package',
  'noto/rainbow-flag',
  ...['ambulance', 'bullet-train', 'cocktail-glass', 'hot-beverage', 'lady-beetle'].map((name) => `noto-v1/${name}`),
  ...['man-lifting-weights', 'person-lifting-weights'].map((name) => `noto-v1/${name}`),
]);
const OTHERS = ['@resvg/resvg-js@2.6.2', 'emojibase-data@17.0.0'];

/** The classes with --icons, each of some of the others. */
const ICONS = new Map(
  Object.entries({
    animal: ['animal', 'animal face'],
    building: ['building'],
    clothing: ['clothing'],
    face: ['happy face', 'sad face', 'silly face', 'neutral face'],
    hand: ['hand'],
    weather: ['weather'],
  }).flatMap(([name, parts]) => parts.map((part) => [part, name])),
);
const { values, positionals } = parseArgs({ options: { icons: { type: 'boolean', default: false } }, allowPositionals: true });
const { icons: asIcons } = values;
/** Sides of a picture and of the drawing in its middle, in pixels. */
const [SIZE, INSIDE] = asIcons ? [64, 56] : [72, 60];
const packages = `${root}out/emoji-packages`;
const out = resolve(positionals[0] ?? `${root}out/${asIcons ? 'icons' : 'emoji'}`);
fetchPackages();
const require = createRequire(`${packages}/package.json`);
const { Resvg } = require('@resvg/resvg-js');
const json = (file) => JSON.parse(readFileSync(`${packages}/node_modules/${file}`, 'utf8'));

const { names, subgroups } = readUnicode();
const pictures = Object.keys(SETS).flatMap(drawingsOf);
const used = usedClasses(pictures);
const heldOut = heldOutCodes(pictures);
write(pictures.filter((p) => used.has(p.className)));

function fetchPackages() {
  const wanted = [...Object.values(SETS), ...OTHERS];
  mkdirSync(packages, { recursive: true });
  const note = `${packages}/fetched.json`;
  if (existsSync(note) && readFileSync(note, 'utf8') === JSON.stringify(wanted)) return;
  process.stderr.write('fetching the emoji packages (200 MB)…\n');
  if (!existsSync(`${packages}/package.json`)) writeFileSync(`${packages}/package.json`, '{"private":true}\n');
  const { status } = spawnSync('npm', ['install', '--no-audit', '--no-fund', '--no-save', ...wanted], {
    cwd: packages,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (status !== 0) {
    process.stderr.write('emoji-data: the packages could not be fetched; check the network and try again\n');
    process.exit(status ?? 1);
  }
  writeFileSync(note, JSON.stringify(wanted));
}

/** Returns Unicode's emoji by the names that the sets use. Names are compared without case, accents and punctuation. */
function readUnicode() {
  const emoji = json('emojibase-data/en/data.json').filter((e) => e.subgroup !== undefined);
  const byCode = new Map(emoji.map((e) => [e.hexcode, e]));
  const names = new Map(emoji.map((e) => [squashed(e.label), e]));
  for (const list of ['github', 'iamcal']) {
    for (const [code, given] of Object.entries(json(`emojibase-data/en/shortcodes/${list}.json`))) {
      const e = byCode.get(code);
      for (const name of [given].flat()) if (e && !names.has(squashed(name))) names.set(squashed(name), e);
    }
  }
  return { names, subgroups: json('emojibase-data/meta/groups.json').subgroups };
}

function squashed(name) {
  return name
    .toLowerCase()
    .normalize('NFKD')
    .replace(/[^a-z0-9]/g, '');
}

/** Returns the drawings of a set that are emoji of a class, each emoji once. */
function drawingsOf(set) {
  const { icons, aliases = {}, width = 16, height = width } = json(`@iconify-json/${set}/icons.json`);
  const found = new Map();
  for (const name of [...Object.keys(icons), ...Object.keys(aliases)]) {
    const e = names.get(squashed(name));
    // An alias that is rotated or mirrored would need more than its parent's drawing.
    const { parent, ...changed } = aliases[name] ?? {};
    const icon = icons[parent ?? name];
    if (!e || !icon || REFUSED.has(`${set}/${parent ?? name}`) || Object.keys(changed).length || found.has(e.hexcode)) continue;
    const part = classOf(e);
    const className = asIcons ? ICONS.get(part) : part;
    if (!className) continue;
    const [w, h] = [icon.width ?? width, icon.height ?? height];
    const around = (SIZE / INSIDE - 1) / 2;
    const [left, top] = [(icon.left ?? 0) - w * around, (icon.top ?? 0) - h * around];
    const viewBox = `${left} ${top} ${w * (1 + 2 * around)} ${h * (1 + 2 * around)}`;
    const spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"';
    // A drawing that is not square is centred.
    const svg = `<svg ${spaces} width="${SIZE}" height="${SIZE}" viewBox="${viewBox}">${icon.body}</svg>`;
    found.set(e.hexcode, { set, code: e.hexcode, className, svg });
  }
  return [...found.values()];
}

function classOf({ subgroup, label }) {
  return CLASSES.find(([, groups, words]) => groups.includes(subgroups[subgroup]) && words.test(label))?.[0];
}

/** Codes of the emoji that are held out: those of each class with the smallest hashes. */
function heldOutCodes(all) {
  const hashes = new Map(all.map(({ code }) => [code, createHash('sha256').update(code).digest('hex')]));
  const classes = new Map(all.map(({ className }) => [className, new Set()]));
  for (const { className, code } of all) classes.get(className).add(code);
  return new Set(
    [...classes.values()].flatMap((of) => {
      const codes = [...of].sort((a, b) => (hashes.get(a) < hashes.get(b) ? -1 : 1));
      return codes.slice(0, Math.ceil(HELD_OUT * codes.length));
    }),
  );
}

function usedClasses(all) {
  const counts = new Map();
  for (const { className } of all) counts.set(className, (counts.get(className) ?? 0) + 1);
  for (const [name, n] of counts) if (n < LEAST) process.stderr.write(`left out: ${name}, ${n} pictures\n`);
  return new Set([...counts].filter(([, n]) => n >= LEAST).map(([name]) => name));
}

function write(all) {
  for (const part of ['train', 'val']) rmSync(`${out}/${part}`, { recursive: true, force: true });
  const counts = { train: 0, val: 0 };
  const total = all.length;
  all.forEach(({ set, code, className, svg }, i) => {
    const part = heldOut.has(code) ? 'val' : 'train';
    const folder = `${out}/${part}/${className}`;
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      `${folder}/${set}-${code}.png`,
      asIcons ? iconFile(svg, i) : new Resvg(svg, { background: 'white' }).render().asPng(),
    );
    counts[part]++;
    if (process.stderr.isTTY && i % 50 === 0) process.stderr.write(`\r${i}/${total} pictures`);
  });
  writeFileSync(`${out}/ATTRIBUTION.md`, attribution());
  const classes = new Set(all.map((p) => p.className)).size;
  process.stderr.write(
    `${process.stderr.isTTY ? '\r' : ''}${counts.train} pictures to train, ${counts.val} held out, ${classes} classes in ${out}\n`,
  );
}

/** The i-th picture as a PNG file of one of the three kinds. */
function iconFile(svg, i) {
  const picture = new Resvg(svg).render();
  const kind = 'aapaapapag'[i % 10];
  if (kind === 'a') return picture.asPng();
  const { width, height } = picture;
  // Resvg multiplies colours by alpha.
  const pixels = Uint8Array.from(picture.pixels);
  for (let at = 0; at < pixels.length; at += 4) {
    const alpha = pixels[at + 3];
    for (let c = 0; c < 3; c++) pixels[at + c] = alpha ? Math.min(255, Math.round((pixels[at + c] * 255) / alpha)) : 0;
  }
  if (kind === 'p') return withPalette(pixels, width, height);
  const data = new Uint8Array(pixels.length / 2);
  for (let at = 0; at < data.length; at += 2) {
    const [r, g, b, alpha] = pixels.subarray(2 * at, 2 * at + 4);
    data.set([Math.round(0.299 * r + 0.587 * g + 0.114 * b), alpha], at);
  }
  return encode({ width, height, data, channels: 2, depth: 8 });
}

/** A PNG file with the 256 most frequent of 16 values for each channel. */
function withPalette(pixels, width, height) {
  const keyAt = (at) => [0, 1, 2, 3].map((c) => Math.round(pixels[at + c] / 17) * 17);
  const counts = new Map();
  for (let at = 0; at < pixels.length; at += 4) {
    const key = keyAt(at).join();
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const palette = [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, 256)
    .map(([key]) => key.split(',').map(Number));
  const nearest = new Map();
  const indexOf = (at) => {
    const colour = keyAt(at);
    const key = colour.join();
    if (!nearest.has(key)) {
      const distance = (entry) => entry.reduce((sum, v, c) => sum + (v - colour[c]) ** 2, 0);
      const distances = palette.map(distance);
      nearest.set(key, distances.indexOf(Math.min(...distances)));
    }
    return nearest.get(key);
  };
  const data = Uint8Array.from({ length: width * height }, (_, i) => indexOf(4 * i));
  return encode({ width, height, data, channels: 1, depth: 8, palette });
}

function attribution() {
  const lines = Object.keys(SETS).map((set) => {
    const { name, author, license } = json(`@iconify-json/${set}/info.json`);
    return `- ${name} by ${author.name} (${author.url}), ${license.title} (${license.url})`;
  });
  return `# Attribution\n\nThe pictures are drawings of these sets, made ${SIZE}×${SIZE} pixels large${asIcons ? '' : ' on white'}:\n\n${lines.join('\n')}\n`;
}
