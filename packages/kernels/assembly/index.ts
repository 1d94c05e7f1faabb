export { biasActivation, gemm, gemmScratch } from './gemm';
