"""What the figures show, in the order in which a page shows them."""

# Section → figure → caption.
SECTIONS = {
    "Errors": {
        "confusion": (
            "Of each true rank (rows), the share of images that was given each rank. Grey rows have no images."
        ),
        "rank_error": (
            "Error and bias (predicted less true) of each true rank, over its number of test images. Few "
            "images, little meaning. The dotted line is what a constant answer, the training median, would "
            "cost."
        ),
        "predicted": (
            "Predicted against true rank of every test image; the median and the band of 80 % of each true rank."
        ),
    },
    "How sure, and rightly?": {
        "reliability": (
            "Left: of the images for which rank ≤ k was predicted with some probability, the share for which it "
            "is true; colours are thresholds k, black is all of them. Right: the same of the most probable "
            "rank. On the diagonal is calibrated; below it, too sure. Bins of fewer than ten images are left "
            "out."
        ),
        "pit": (
            "Where the true rank lies in the predicted distribution. Flat is calibrated; high at both ends is "
            "too sure; high at the right end predicts too low."
        ),
        "risk_coverage": (
            "Error of the images that are kept when the least sure ones are set aside. Falling to the left is "
            "what a useful confidence does; dotted is the best any could."
        ),
        "samples": (
            "Predicted distributions of images across the scale: of each shown rank the image with its median error."
        ),
    },
    "Order of the ranks": {
        "similarity": (
            "Cosine similarity of the ranks' features. Ordered ranks show a bright diagonal that fades evenly."
        ),
        "similarity_softmax": "The softmax of each row of these similarities, as the paper shows them.",
        "violations": (
            "Left: steps away from a rank on which the similarity to it rises instead of falling. Right: for "
            "every two neighbours, the share of the other ranks that find them the wrong way round."
        ),
        "path": (
            "Rank features in the plane of their first two principal components, joined in the order of the ranks."
        ),
        "interpolation": "How much each learned base rank contributes to each rank; fixed, not learned.",
    },
    "Learning": {
        "learning": (
            "Loss, the score that the epoch is chosen by, and ordinality by epoch; epoch 0 is before training. "
            "The dashed line is the epoch that was kept."
        ),
    },
    "Images": {
        "best_images": "The test images with the smallest errors. Dashed: true rank; triangle: prediction.",
        "worst_images": (
            "The test images with the largest errors: look here for wrong labels and for what the model misses."
        ),
    },
}
