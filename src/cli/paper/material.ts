/**
 * What the experiments share: images, a tokenizer, their codes, and a judge, a classifier trained on the real images. Each is made
 * when it is first needed, and kept in a folder under a hash of what it was made from.
 */
import { AiM, type LoadOptions } from '../../aim.js';
import { OptionError } from '../../core/errors.js';
import { type Codes, encodeCodes, readCodes, tokenize } from '../../data/codes.js';
import type { ImageDataset, ImageSplits } from '../../data/dataset.js';
import { openData } from '../../data/open.js';
import { Classifier, FEATURES } from '../../evaluate/classifier.js';
import { greyOfBytes } from '../../evaluate/own.js';
import { greyImages } from '../../evaluate/own_features.js';
import { frechetDistance, type Gaussian, moments } from '../../evaluate.js';
import { readBytes } from '../../io/file_source.js';
import type { AimImage } from '../../io/image.js';
import { createSha256, sha256Text } from '../../io/sha256.js';
import type { AimConfigJson } from '../../model/config.js';
import { exists, makeFolder, writeAtomic } from '../../platform/files.js';
import { spread } from '../../train/order.js';
import { tokenizerFor } from '../../train/recipe.js';
import { Trainer } from '../../train/trainer.js';
import { progress } from '../progress.js';
import { say } from '../terminal.js';
import type { Scale, Size } from './scale.js';

export interface MaterialOptions {
  /** The folder of images. */
  path: string;
  /** Side of the images in pixels. */
  size: number;
  /** A model whose tokenizer is used. By default a new one is trained. */
  tokenizer: string | undefined;
  /** The model that `guidance` draws with. By default as for the tokenizer. */
  model: string | undefined;
  /** Folder in which things are kept. */
  keep: string;
  scale: Scale;
  load: LoadOptions;
  signal: AbortSignal;
}

/** How good some drawn images are. */
export interface Score {
  /** Fréchet distance of the judge's features to those of the held-out images. No FID: those are another network's. */
  fd: number;
  /** Share of the images that the judge assigns to the class they were drawn for, in percent. */
  accuracy: number;
}

export class Material {
  private readonly known: Partial<Record<'data' | 'tokenizer' | 'codes' | 'judge' | 'drawer', Promise<unknown>>> = {};

  constructor(readonly options: MaterialOptions) {}

  get signal(): AbortSignal {
    return this.options.signal;
  }
  get scale(): Scale {
    return this.options.scale;
  }

  /** What `make` makes, which is called once. */
  once<T>(name: 'data' | 'tokenizer' | 'codes' | 'judge' | 'drawer', make: () => Promise<T>): Promise<T> {
    this.known[name] ??= make();
    return this.known[name] as Promise<T>;
  }

  async dispose(): Promise<void> {
    await ((await this.known.drawer?.catch(() => {})) as AiM | undefined)?.dispose();
  }

  /** The images: those to train on, and held-out ones. */
  data(): Promise<{ train: ImageDataset; eval: ImageDataset; id: string }> {
    return this.once('data', async () => {
      const { path, size, scale, signal } = this.options;
      if (size % 4) throw new OptionError(`paper: size is ${size}; the judge needs images whose side is a multiple of 4.`);
      const data = await openData(path, { size, signal });
      if (data.kind === 'codes') throw new OptionError(`paper: ${path} holds codes; pass a folder of images.`);
      const { eval: held } = data;
      if (!held || held.length < 2 || data.train.classes.length < 2)
        throw new OptionError(`paper: ${path} has no held-out images of at least two classes; pass a larger data set.`);
      const train = await some(data.train, scale.train);
      const id = sha256Text(JSON.stringify([path, size, train.length, await data.train.fingerprint?.(), train.classes]));
      return { train, eval: await some(held, scale.reference), id };
    });
  }

  /** The folder of a model whose tokenizer suits the images. */
  tokenizer(): Promise<string> {
    return this.once('tokenizer', async () => {
      const { tokenizer, size, keep, scale, load, signal } = this.options;
      if (tokenizer !== undefined) return tokenizer;
      const { train, eval: held, id } = await this.data();
      const json = this.config(tokenizerFor(size), train.classes.length, scale.base);
      const folder = `${keep}/tokenizer-${sha256Text(JSON.stringify([json, scale.tokenizerSteps, id])).slice(0, 12)}`;
      if (await exists(`${folder}/config.json`)) return folder;
      const aim = await AiM.fromConfig(json, load);
      const steps = scale.tokenizerSteps;
      const settings = { steps, batchSize: Math.min(32, scale.batchSize), lr: 1e-3, schedule: 'cosine', evalEvery: 0 } as const;
      const trainer = new Trainer({ model: aim, data: { train, eval: held }, ...settings });
      const bar = progress('training the tokenizer', steps, 'steps');
      try {
        for await (const { step, loss } of trainer.run({ signal })) bar.update(step, `loss ${loss.toFixed(4)}`);
        await aim.save(folder);
        return folder;
      } finally {
        bar.stop();
        trainer.dispose();
        await aim.dispose();
      }
    });
  }

  /** config.json of a model of some size with this tokenizer. */
  config(
    tokenizer: Pick<AimConfigJson, 'vocab_size' | 'num_tokens' | 'vq_config'>,
    num_classes: number,
    size: Size,
  ): AimConfigJson {
    const { d_model, n_layer } = size;
    const headdim = [64, 32, 16].find((p) => d_model % p === 0) ?? 8;
    return {
      ...tokenizer,
      d_model,
      n_layer,
      num_classes,
      ssm_cfg: { layer: 'Mamba2', headdim },
      adaln_group: true,
      num_groups: 4,
    };
  }

  /** A fresh model with the tokenizer; `change` replaces fields of its config.json. */
  async model(size: Size, change: Partial<AimConfigJson> = {}, seed = 0): Promise<AiM> {
    const { load } = this.options;
    const from = await this.tokenizer();
    const { train } = await this.data();
    const known = await AiM.fromPretrained(from, { ...load, device: 'wasm', threads: 1 });
    const { vocab_size, num_tokens, vq_config } = known.config.json;
    await known.dispose();
    const tokenizer = { vocab_size, num_tokens, ...(vq_config && { vq_config }) };
    const aim = await AiM.fromConfig({ ...this.config(tokenizer, train.classes.length, size), ...change }, { ...load, seed });
    await aim.loadPart('vqvae.', from);
    return aim;
  }

  /** The codes of all images. */
  codes(): Promise<Codes> {
    return this.once('codes', async () => {
      const { keep, scale, signal } = this.options;
      const [from, { train, eval: held, id }] = [await this.tokenizer(), await this.data()];
      const file = `${keep}/codes-${sha256Text(JSON.stringify([from, id, held.length])).slice(0, 12)}.safetensors`;
      if (await exists(file)) return readCodes(file, { signal });
      const aim = await this.model(scale.base);
      const bar = progress('encoding', train.length + held.length, 'images');
      try {
        const codes = await tokenize(aim, { train, eval: held } as ImageSplits, {
          signal,
          onProgress: (done) => bar.update(done),
        });
        await makeFolder(keep);
        await writeAtomic(file, encodeCodes(codes), { signal });
        return codes;
      } finally {
        bar.stop();
        await aim.dispose();
      }
    });
  }

  /** The judge, and the features of the held-out images. */
  private judge(): Promise<{ net: Classifier; reference: Gaussian }> {
    return this.once('judge', async () => {
      const { keep, signal } = this.options;
      const { train, eval: held } = await this.data();
      const [images, real] = [await greyImages(train, { signal }), await greyImages(held, { signal })];
      const hash = createSha256();
      hash.update(images.pixels);
      hash.update(new Uint8Array(images.labels.buffer));
      const file = `${keep}/judge-${hash.hex().slice(0, 12)}.f32`;
      let net = new Classifier(train.size, train.classes.length);
      if (await exists(file)) {
        const bytes = await readBytes(file);
        net = new Classifier(train.size, train.classes.length, new Float32Array(new Uint8Array(bytes).buffer));
      } else {
        const bar = progress('training the judge', 4, 'epochs');
        await net
          .train(images.pixels, images.labels, { onEpoch: (epoch) => bar.update(epoch), signal })
          .finally(() => bar.stop());
        await makeFolder(keep);
        await writeAtomic(file, new Uint8Array(net.save().buffer));
      }
      const { labels, features } = net.classify(real.pixels);
      const right = labels.reduce((sum, label, i) => sum + Number(label === real.labels[i]), 0);
      say(
        `the judge assigns ${((100 * right) / labels.length).toFixed(1)}% of ${labels.length} held-out images to their class\n`,
      );
      return { net, reference: moments(features, FEATURES) };
    });
  }

  /** Compares images, drawn for the classes of their labels, with the held-out ones. */
  async score(images: readonly AimImage[]): Promise<Score> {
    const { net, reference } = await this.judge();
    const per = images[0]!.width * images[0]!.height;
    const pixels = new Uint8ClampedArray(images.length * per);
    for (const [i, image] of images.entries()) pixels.set(greyOfBytes(image.toRGB()), i * per);
    const { labels, features } = net.classify(pixels);
    const right = images.reduce((sum, { label }, i) => sum + Number(labels[i] === label), 0);
    const fd = frechetDistance(moments(features, FEATURES), reference, { onWarning: () => {} });
    return { fd, accuracy: (100 * right) / images.length };
  }
}

/** At most `count` images, spread over all classes. */
async function some(data: ImageDataset, count: number): Promise<ImageDataset> {
  if (data.length <= count) return data;
  const chosen = [
    ...spread(
      Uint32Array.from({ length: data.length }, (_, i) => data.label(i)),
      count,
    ),
  ];
  const { classes, size, augments, skipped } = data;
  return {
    ...{ classes, size, augments, skipped, length: chosen.length },
    label: (i) => data.label(chosen[i]!),
    fingerprint: async () => `${count} of ${await data.fingerprint?.()}`,
    tryImage: (i, mode) => data.tryImage(chosen[i]!, mode),
    image: (i, mode) => data.image(chosen[i]!, mode),
  };
}
