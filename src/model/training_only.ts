/**
 * What stands for the backward passes of the tables (mixers, tokenizers) in the bundles that only draw, so that those do
 * not contain them: `backward: TRAINING ? backward : drawsOnly`.
 */
export { TRAINING } from 'aim:build';

export function drawsOnly(): never {
  throw new Error('this bundle only draws; train with aim-js/train.');
}
