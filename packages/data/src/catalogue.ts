// Which files a data set is made of, where they are to be had, and what tells that they are the right ones.

/** A file as the mirrors serve it. */
export interface RemoteFile {
  name: string;
  /** Bytes. */
  size: number;
  /** SHA-256 of those bytes; where there is none, only the content's format is checked. */
  sha256?: string;
}

export interface Catalogue {
  /** What people call the data set. */
  title: string;
  /** Its folder under THIMBLE_DATA_DIR and in the cache. */
  folder: string;
  /**
   * Sets of files that each hold the whole data set, the original one first; for every file the names
   * it may have.
   */
  layouts: string[][][];
  remote: RemoteFile[];
  /** Addresses of folders that hold the remote files, tried in this order. */
  mirrors: string[];
  classNames: string[];
}

/** What the IDX files are called, gzipped or not; some archives have a dot for the first hyphen of "-idx". */
function idxNames(stem: string): string[] {
  const dotted = stem.replace('-idx', '.idx');
  return [`${stem}.gz`, stem, `${dotted}.gz`, dotted];
}

/** The files of MNIST and its kin, always in this order. */
const IDX_FILES = [
  'train-images-idx3-ubyte',
  'train-labels-idx1-ubyte',
  't10k-images-idx3-ubyte',
  't10k-labels-idx1-ubyte',
];

/** `sums`: size and SHA-256 of each gzipped file. */
function idxFiles(sums: [number, string][]): Pick<Catalogue, 'layouts' | 'remote'> {
  return {
    layouts: [IDX_FILES.map(idxNames)],
    remote: IDX_FILES.map((stem, i) => ({
      name: `${stem}.gz`,
      size: sums[i]![0],
      sha256: sums[i]![1],
    })),
  };
}

const DIGITS = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];

/** Y. LeCun, C. Cortes, C. Burges. */
export const MNIST: Catalogue = {
  title: 'MNIST',
  folder: 'mnist',
  mirrors: [
    'https://storage.googleapis.com/cvdf-datasets/mnist/',
    'https://ossci-datasets.s3.amazonaws.com/mnist/',
  ],
  ...idxFiles([
    [9912422, '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609'],
    [28881, '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c'],
    [1648877, '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6'],
    [4542, 'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6'],
  ]),
  classNames: DIGITS,
};

/** H. Xiao, K. Rasul, R. Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist */
export const FASHION_MNIST: Catalogue = {
  title: 'Fashion-MNIST',
  folder: 'fashion-mnist',
  mirrors: [
    'https://fashion-mnist.s3.eu-central-1.amazonaws.com/',
    'https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/',
    'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
  ],
  ...idxFiles([
    [26421880, '3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84'],
    [29515, 'a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845'],
    [4422102, '346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073'],
    [5148, '67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5'],
  ]),
  classNames: [
    'T-shirt/top',
    'Trouser',
    'Pullover',
    'Dress',
    'Coat',
    'Sandal',
    'Shirt',
    'Sneaker',
    'Bag',
    'Ankle boot',
  ],
};

/** T. Clanuwat et al. 2018, http://codh.rois.ac.jp/kmnist/ */
export const KMNIST: Catalogue = {
  title: 'Kuzushiji-MNIST',
  folder: 'kmnist',
  mirrors: [
    'https://codh.rois.ac.jp/kmnist/dataset/kmnist/',
    'http://codh.rois.ac.jp/kmnist/dataset/kmnist/',
  ],
  ...idxFiles([
    [18165135, '51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4'],
    [29497, 'e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17'],
    [3041136, 'edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5'],
    [5120, '20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c'],
  ]),
  classNames: ['o', 'ki', 'su', 'tsu', 'na', 'ha', 'ma', 'ya', 're', 'wo'],
};

const CIFAR_ARCHIVE = 'cifar-10-binary.tar.gz';
/** The folder that the archive unpacks to. */
const CIFAR_FOLDER = 'cifar-10-batches-bin';
const CIFAR_FILES = [
  'data_batch_1.bin',
  'data_batch_2.bin',
  'data_batch_3.bin',
  'data_batch_4.bin',
  'data_batch_5.bin',
  'test_batch.bin',
];

/** A. Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html */
export const CIFAR10: Catalogue = {
  title: 'CIFAR-10',
  folder: 'cifar-10',
  mirrors: ['https://www.cs.toronto.edu/~kriz/', 'https://cave.cs.toronto.edu/kriz/'],
  layouts: [
    CIFAR_FILES.map((name) => [name, `${name}.gz`, `${CIFAR_FOLDER}/${name}`]),
    [[CIFAR_ARCHIVE, 'cifar-10-binary.tar']],
  ],
  remote: [
    {
      name: CIFAR_ARCHIVE,
      size: 170052171,
      sha256: 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
    },
  ],
  classNames: [
    'airplane',
    'automobile',
    'bird',
    'cat',
    'deer',
    'dog',
    'frog',
    'horse',
    'ship',
    'truck',
  ],
};
