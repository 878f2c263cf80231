import { verifyGolden } from './verify_golden.js';

verifyGolden('aim-fmnist');
