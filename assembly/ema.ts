// @train
// ema += (1 - min(decay, most[0]))·(param - ema)
export function ema_forward(ema: usize, param: usize, most: usize, n: i32, decay: f32): void {
  const end = (<usize>n) << 2;
  const rate: f32 = 1 - (most ? min<f32>(decay, load<f32>(most)) : decay);
  const rv = f32x4.splat(rate);
  let q: usize = 0;
  for (; q + 16 <= end; q += 16) {
    const e = v128.load(ema + q);
    v128.store(ema + q, f32x4.add(e, f32x4.mul(rv, f32x4.sub(v128.load(param + q), e))));
  }
  for (; q < end; q += 4) {
    const e = load<f32>(ema + q);
    store<f32>(ema + q, e + rate * (load<f32>(param + q) - e));
  }
}
