/** The FID network on a device: batches of images of any size to features. */
import type { Backend, Recording } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import type { ByteSource } from '../io/bytes.js';
import { resizeBilinear } from '../ops/resize_bilinear.js';
import { pause } from '../platform/runtime.js';
import { bringKernels } from '../train/kernels.js';
import type { FeatureNetwork, Features, ImageBytes } from './features.js';
import { type InceptionOutput, type InceptionParams, inceptionForward, inceptionNetwork, type Network } from './inception.js';
import { loadInception } from './inception_weights.js';

/** Images at once where work runs beside the host, and elsewhere. The largest tensor takes 5.5 MB an image. */
const BATCH = { asynchronous: 20, synchronous: 4 };
/** Most bytes of the images of a batch: WebGPU's default limit of a binding. */
const IMAGE_BYTES = 2 ** 27;

interface Prepared {
  readonly batch: number;
  readonly width: number;
  readonly height: number;
  readonly image: Tensor;
  /** The bytes of a batch as floats, on the host. */
  readonly pixels: Float32Array;
  readonly recording: Recording;
  readonly output: InceptionOutput;
}

export class Inception implements FeatureNetwork {
  readonly kind = 'inception';
  private prepared: Prepared | undefined;

  private constructor(
    private readonly be: Backend,
    private readonly network: Network,
    private readonly params: InceptionParams,
    readonly id: string,
  ) {}

  /**
   * Loads the network onto a backend, which then belongs to it. Throws CheckpointError for other files than the network's weights.
   * Rejects with `signal.reason` when aborted.
   */
  static async load(
    be: Backend,
    weights: ByteSource,
    { network = inceptionNetwork(), signal }: { network?: Network; signal?: AbortSignal | undefined } = {},
  ): Promise<Inception> {
    try {
      bringKernels(be);
      const { params, id } = await loadInception(be, weights, network, signal);
      return new Inception(be, network, params, id);
    } catch (error) {
      be.dispose();
      throw error;
    }
  }

  get device(): string {
    return this.be.description;
  }
  get size(): number {
    return this.network.features;
  }
  get spatial(): number {
    return this.network.spatialSide ** 2 * this.network.spatialChannels;
  }
  get classes(): number {
    return this.network.classes;
  }

  /** See FeatureNetwork. Images are resized as TensorFlow 1 does it and brought to (v − 128)/128. */
  async run(
    { count, width, height, data }: ImageBytes,
    { signal, onImages }: Parameters<FeatureNetwork['run']>[1] = {},
  ): Promise<Features> {
    const { be, size, spatial, classes } = this;
    const usual = be.traits.asynchronous ? BATCH.asynchronous : BATCH.synchronous;
    const batch = Math.max(1, Math.min(count, usual, Math.floor(IMAGE_BYTES / (12 * width * height))));
    const { image, pixels, recording, output } = this.prepare(batch, width, height);
    await recording.compile();
    const out = {
      count,
      pool: new Float32Array(count * size),
      spatial: new Float32Array(count * spatial),
      logits: new Float32Array(count * classes),
    };
    const per = width * height * 3;
    let before: Promise<void> = Promise.resolve();
    for (let first = 0; first < count; first += batch) {
      signal?.throwIfAborted();
      const n = Math.min(batch, count - first);
      // The last batch is filled up with what is in the tensor.
      // Many times as fast as new Float32Array(bytes), which takes longer than the network.
      pixels.set(data.subarray(first * per, (first + n) * per));
      be.write(image, pixels);
      recording.replay();
      const reads = (['pool', 'spatial', 'logits'] as const).map(async (name) => {
        const values = await be.read(output[name]);
        const row = values.length / batch;
        out[name].set(values.subarray(0, n * row), first * row);
      });
      const now = Promise.all(reads).then(() => onImages?.(first + n));
      // A failure is thrown where the batch is awaited, after the next one is on its way.
      now.catch(() => {});
      await before;
      before = now;
      if (!be.traits.asynchronous) await pause();
    }
    await before;
    return out;
  }

  dispose(): void {
    this.be.dispose();
  }

  private prepare(batch: number, width: number, height: number): Prepared {
    const { be, network, prepared: last } = this;
    if (last?.batch === batch && last.width === width && last.height === height) return last;
    last?.recording.dispose();
    be.free(last?.image);
    this.prepared = undefined;
    const image = be.tensor([batch, height, width, 3]);
    be.zero(image);
    const { recording, result: output } = be.record(() => {
      const resized = be.tensor([batch, network.side, network.side, 3]);
      be.run(resizeBilinear.forward, { x: image, y: resized }, { shift: 128, scale: 1 / 128 });
      const y = inceptionForward(be, this.params, network, resized);
      be.free(resized);
      return y;
    });
    this.prepared = { batch, width, height, image, pixels: new Float32Array(image.size), recording, output };
    return this.prepared;
  }
}
