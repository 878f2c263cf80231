/**
 * Formats that browsers decode themselves, and Node, Deno and Bun with a package of the jSquash project: libwebp and libavif as
 * WebAssembly. The packages are optional and are loaded when they are used.
 */
import { AimError, IoError } from '../../core/errors.js';
import { hasFiles, importOptional } from '../../platform/runtime.js';
import { decodeByCanvas, hasCanvas } from './canvas.js';
import { upright } from './exif.js';
import { checkPixels, composite, type DecodeOptions, damaged, type ImageFormat, type RgbImage } from './format.js';

interface PackageFormat extends Pick<ImageFormat, 'name' | 'extensions' | 'test'> {
  /** The media type, e.g. 'image/webp'. */
  type: string;
  /** The package, and the WebAssembly module of its decoder. */
  package: string;
  wasm: string;
  /** The size in the header, of its largest picture. Returns undefined if it cannot be read. */
  size(bytes: Uint8Array): readonly [width: number, height: number] | undefined;
  /** What the package does not read though its size can be read. */
  unsupported?(bytes: Uint8Array): string | undefined;
  /** The EXIF orientation, where the package does not apply it. */
  orientation?(bytes: Uint8Array): number;
}

/** The module decode.js of a jSquash package. */
interface Decoder {
  /** Replaces the instance that `default` uses. */
  init(module: WebAssembly.Module, options: { print(): void; printErr(): void }): Promise<void>;
  default(bytes: ArrayBuffer): Promise<{ width: number; height: number; data: Uint8ClampedArray }>;
}

/** An instance's memory never shrinks, so one that has decoded a large image is replaced. */
const LARGE = 4e6;

/** Makes the entry of such a format. */
export function packageFormat(format: PackageFormat): ImageFormat {
  const { name: kind, extensions, test, package: name } = format;
  const load = loader(name, format.wasm);
  let decode: Decode | undefined;
  const prepare = async () => {
    if (!hasCanvas()) decode ??= await load();
  };
  const unavailable = () =>
    decode || hasCanvas()
      ? undefined
      : `${kind} needs the package ${name}, which was not found; run \`npm install ${name}\`, or convert it to PNG, e.g. ` +
        `\`magick x.${extensions[0]} x.png\``;
  return {
    name: kind,
    extensions,
    test,
    prepare,
    unavailable,
    async decode(bytes, file, options: DecodeOptions = {}) {
      await prepare();
      const why = unavailable();
      if (why) throw new IoError(`${file}: ${why}.`);
      const [width, height] = format.size(bytes) ?? [0, 0];
      if (!(width > 0 && height > 0)) throw damaged(kind, file, 'its header gives no size');
      checkPixels(width, height, file, options);
      const other = decode && format.unsupported?.(bytes);
      if (other) throw new IoError(`${file} is ${other}, which is read in browsers only; convert it to PNG.`);
      try {
        if (!decode) return (await decodeByCanvas(bytes, format.type, options))!;
        const image = await decode(bytes, width * height);
        if (image.width * image.height > width * height)
          throw damaged(kind, file, `it is ${image.width}×${image.height}, and its header says ${width}×${height}`);
        const rgb = { width: image.width, height: image.height, data: composite(image.data, options.background) };
        return upright(rgb, format.orientation?.(bytes) ?? 1);
      } catch (error) {
        if (error instanceof AimError) throw error;
        throw damaged(kind, file, (error as Error).message, error);
      }
    },
  };
}

type Decode = (bytes: Uint8Array, pixels: number) => Promise<Omit<RgbImage, 'data'> & { data: Uint8ClampedArray }>;

/** Returns a function that loads a package's decoder, once; its result is undefined where the package is missing. */
function loader(name: string, wasm: string): () => Promise<Decode | undefined> {
  let loading: Promise<Decode | undefined> | undefined;
  return () => (loading ??= load(name, wasm));
}

async function load(name: string, wasm: string): Promise<Decode | undefined> {
  const url = hasFiles() ? await find(`${name}/decode.js`) : undefined;
  if (!url) return undefined;
  const { readFile } = await importOptional<typeof import('node:fs/promises')>('node:fs/promises');
  try {
    const decoder = await importOptional<Decoder>(url.href);
    return decoding(decoder, await WebAssembly.compile(new Uint8Array(await readFile(new URL(wasm, url)))));
  } catch (cause) {
    throw new IoError(`the package ${name} cannot be loaded: ${(cause as Error).message}; install it again.`, { cause });
  }
}

/**
 * Finds a file of a package, as the program that runs would, or one in the current folder. Not as this module would: its place,
 * import.meta, is unknown where bundlers make scripts or CommonJS of it.
 */
async function find(file: string): Promise<URL | undefined> {
  const { createRequire } = await importOptional<typeof import('node:module')>('node:module');
  const { realpath } = await importOptional<typeof import('node:fs/promises')>('node:fs/promises');
  const { pathToFileURL } = await importOptional<typeof import('node:url')>('node:url');
  const program = await realpath(process.argv[1] ?? '').catch(() => '');
  for (const from of [program, `${process.cwd()}/program.js`]) {
    try {
      return pathToFileURL(createRequire(from).resolve(file));
    } catch {
      // There is no such package there.
    }
  }
  return undefined;
}

/** Decodes one image after the other, because the package has one instance. */
function decoding(decoder: Decoder, module: WebAssembly.Module): Decode {
  let isFresh = false;
  let last: Promise<unknown> = Promise.resolve();
  const quiet = { print() {}, printErr() {} };
  return (bytes, pixels) => {
    const result = last.then(async () => {
      // In Node the package makes a global ImageData; programs that ask whether there is one must not find it.
      const had = 'ImageData' in globalThis;
      try {
        if (!isFresh) await decoder.init(module, quiet);
        isFresh = false;
        const image = await decoder.default(bytes.slice().buffer);
        // A failure may leave its memory in any state.
        isFresh = pixels <= LARGE;
        return image;
      } finally {
        if (!had) Reflect.deleteProperty(globalThis, 'ImageData');
      }
    });
    last = result.catch(() => {});
    return result;
  };
}
