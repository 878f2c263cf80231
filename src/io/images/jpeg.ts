/**
 * JPEG (ITU-T T.81), decoded by the browser where possible, else by jpeg-js. The results may differ by a few of 255 in fine
 * colour detail. Encoded by jpeg-js.
 */
import { AimError, IoError } from '../../core/errors.js';
import { decodeByCanvas } from './canvas.js';
import { orientation, upright } from './exif.js';
import { checkPixels, type DecodeOptions, damaged, hasText, type ImageFormat, type RgbImage } from './format.js';

const QUALITY = 95;

export const jpeg: ImageFormat = {
  name: 'JPEG',
  extensions: ['jpg', 'jpeg'],
  test: (bytes) => bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff,
  decode: decodeJpeg,
  encode: encodeJpeg,
};

async function encodeJpeg({ width, height, data }: RgbImage): Promise<Uint8Array> {
  const library = await jpegJs();
  const rgba = new Uint8Array(width * height * 4).fill(255);
  for (let i = 0, o = 0; i < data.length; i += 3, o += 4) rgba.set(data.subarray(i, i + 3), o);
  const { data: bytes } = library.encode({ width, height, data: rgba }, QUALITY);
  return new Uint8Array(bytes);
}

/**
 * Decodes a JPEG and applies its EXIF orientation. Throws IoError with the file's name if it is damaged or of an unsupported
 * kind, or if jpeg-js is needed and not found.
 */
export async function decodeJpeg(bytes: Uint8Array, name = 'the image', options: DecodeOptions = {}): Promise<RgbImage> {
  if (!jpeg.test(bytes)) throw damaged('JPEG', name, 'it does not begin like one');
  const frame = parseFrame(bytes, name);
  checkPixels(frame.width, frame.height, name, options);
  try {
    return (await decodeByCanvas(bytes, 'image/jpeg')) ?? (await byLibrary(bytes, frame));
  } catch (error) {
    if (error instanceof AimError) throw error;
    throw damaged('JPEG', name, (error as Error).message, error);
  }
}

interface Frame {
  width: number;
  height: number;
  /** The identifiers of the components. */
  components: number[];
  /** True if there is a JFIF marker. */
  jfif: boolean;
  /** The colour transform of an Adobe marker (APP14): 0 none, 1 YCbCr, 2 YCCK. */
  adobe: number | undefined;
}

/** Reads the markers up to the first scan, and looks for a second frame header (SOF) up to the end: jpeg-js would take its size. */
function parseFrame(bytes: Uint8Array, name: string): Frame {
  const uint16 = (at: number) => (bytes[at]! << 8) | bytes[at + 1]!;
  let frame: Pick<Frame, 'width' | 'height' | 'components'> | undefined;
  let jfif = false;
  let adobe: number | undefined;
  let scanned = false;
  for (let at = 2; at + 4 <= bytes.length; ) {
    const marker = bytes[at + 1]!;
    // Skip fill bytes and bytes between segments.
    if (bytes[at] !== 0xff || marker === 0xff || marker === 0 || (marker >= 0xd0 && marker <= 0xd8) || marker === 1) {
      at++;
      continue;
    }
    if (marker === 0xd9) break;
    scanned ||= marker === 0xda;
    const [from, length] = [at + 4, uint16(at + 2)];
    if (!scanned && marker === 0xe0 && hasText(bytes, from, 'JFIF\0')) jfif = true;
    else if (!scanned && marker === 0xee && length >= 14 && hasText(bytes, from, 'Adobe')) adobe = bytes[from + 11];
    else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      if (frame) throw damaged('JPEG', name, 'it has two frame headers');
      if (marker > 0xc2) throw unsupported(name, `kind SOF${marker - 0xc0} (lossless, hierarchical or arithmetic coding)`);
      if (bytes[from] !== 8) throw unsupported(name, `${bytes[from]} bits per sample`);
      const count = bytes[from + 5]!;
      frame = {
        height: uint16(from + 1),
        width: uint16(from + 3),
        components: Array.from({ length: count }, (_, i) => bytes[from + 6 + 3 * i]!),
      };
    }
    at += 2 + Math.max(2, length);
  }
  if (!frame) throw damaged('JPEG', name, 'it has no frame header');
  const { width, height } = frame;
  if (width === 0 || height === 0) throw damaged('JPEG', name, `its size is ${width}×${height}`);
  // Each block of 8×8 pixels takes at least one bit.
  if (Math.ceil(width / 8) * Math.ceil(height / 8) > bytes.length * 8)
    throw damaged('JPEG', name, `${bytes.length} bytes cannot hold ${width}×${height} pixels`);
  return { ...frame, jfif, adobe };
}

/** True if the components are RGB or CMYK rather than YCbCr or YCCK, by the rules of libjpeg (jdapimin.c). */
function isPlain({ components, jfif, adobe }: Frame): boolean {
  if (components.length === 4) return adobe === undefined || adobe === 0;
  if (components.length !== 3 || jfif) return false;
  if (adobe !== undefined) return adobe === 0;
  return String.fromCharCode(...components) === 'RGB';
}

async function byLibrary(bytes: Uint8Array, frame: Frame): Promise<RgbImage> {
  const library = await jpegJs();
  const image = library.decode(frame.components.length === 4 && frame.adobe === undefined ? withAdobe(bytes) : bytes, {
    useTArray: true,
    formatAsRGBA: false,
    tolerantDecoding: false,
    colorTransform: !isPlain(frame),
    // The limits were checked before.
    maxResolutionInMP: Number.POSITIVE_INFINITY,
    maxMemoryUsageInMB: Number.POSITIVE_INFINITY,
  });
  const { exifBuffer } = image as { exifBuffer?: Uint8Array };
  return upright({ width: image.width, height: image.height, data: new Uint8Array(image.data) }, orientation(exifBuffer));
}

/**
 * jpeg-js decodes CMYK only with an Adobe marker. Like other programs, this treats inks as inverted with or without the marker.
 */
function withAdobe(bytes: Uint8Array): Uint8Array {
  const marker = [0xff, 0xee, 0, 14, ...new TextEncoder().encode('Adobe'), 0, 100, 0, 0, 0, 0, 0];
  const out = new Uint8Array(bytes.length + marker.length);
  out.set(bytes.subarray(0, 2));
  out.set(marker, 2);
  out.set(bytes.subarray(2), 2 + marker.length);
  return out;
}

function unsupported(name: string, kind: string): IoError {
  return new IoError(`${name} is a JPEG file of ${kind}, which cannot be read; save it as a usual JPEG or as PNG.`);
}

/** Loads jpeg-js. It is a CommonJS package, whose names some loaders put below `default`. */
async function jpegJs(): Promise<typeof import('jpeg-js')> {
  const { default: library } = await import('jpeg-js').catch((cause: unknown) => {
    throw new IoError('JPEG needs the package jpeg-js, which was not found; install jpeg-js, or convert the images to PNG.', {
      cause,
    });
  });
  return library;
}
