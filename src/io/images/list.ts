/** Every image format: the one line that a new format adds. Texts list them in this order, that of the names. */
export { avif } from './avif.js';
export { bmp } from './bmp.js';
export { gif } from './gif.js';
export { jpeg } from './jpeg.js';
export { png } from './png.js';
export { webp } from './webp.js';
