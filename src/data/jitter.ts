/** Changes of colour at random, so that a tokenizer sees more than its pictures: those of torchvision's ColorJitter, without the hue. */

/**
 * Changes brightness, contrast and saturation of an image, in this order, each by a factor from 1 − strength to 1 + strength. Contrast
 * scales the distance from the mean grey of the image, saturation that from the grey of the pixel. Always draws three random numbers.
 *
 * @param pixels [n, 3] in [-1, 1]; overwritten.
 */
export function jitterColours(pixels: Float32Array, strength: number, random: () => number): Float32Array {
  const factor = () => 1 + strength * (2 * random() - 1);
  const [brightness, contrast, saturation] = [factor(), factor(), factor()];
  const light = (v: number) => ((v + 1) / 2) * brightness;
  let mean = 0;
  for (let i = 0; i < pixels.length; i += 3) mean += greyOf(light(pixels[i]!), light(pixels[i + 1]!), light(pixels[i + 2]!));
  mean /= pixels.length / 3;
  const contrasted = (v: number) => mean + contrast * (light(v) - mean);
  for (let i = 0; i < pixels.length; i += 3) {
    const r = contrasted(pixels[i]!);
    const g = contrasted(pixels[i + 1]!);
    const b = contrasted(pixels[i + 2]!);
    const grey = greyOf(r, g, b);
    const saturated = (v: number) => 2 * Math.min(1, Math.max(0, grey + saturation * (v - grey))) - 1;
    pixels[i] = saturated(r);
    pixels[i + 1] = saturated(g);
    pixels[i + 2] = saturated(b);
  }
  return pixels;
}

/** Luma of Rec. 601. */
export const greyOf = (r: number, g: number, b: number) => 0.299 * r + 0.587 * g + 0.114 * b;
